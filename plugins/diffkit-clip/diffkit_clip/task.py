"""Training a CLIP of noisy pictures, for guidance by words and the score of a match."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, distributed, nn
from torch.nn.functional import log_softmax
from torch.optim import Optimizer

from diffkit.core import (
    Batch,
    Count,
    Data,
    DataSpec,
    DiffkitError,
    DiffusionModel,
    Fraction,
    Natural,
    Positive,
    Shape,
    TimeDensity,
    Weighting,
)
from diffkit.run import Task
from diffkit_clip.network import NoisyCLIP, Sizes
from diffkit_clip.retrieval import AMONG, LEVELS, at_level, ranks

Texts = Sequence[str | None]


class CLIPTask(Task):
    r"""Learning which words match a noisy picture, for guidance by words: a small CLIP of x_t at every noise level.

    With the logits $f_{ij}$ of picture i and caption j of a batch, each picture is to choose its caption, and each
    caption its picture; equal captions match alike:

    $$ L_i = -\frac{1}{2} \sum_j m_{ij} \left( \log \frac{e^{f_{ij}}}{\sum_k e^{f_{ik}}}
       + \log \frac{e^{f_{ji}}}{\sum_k e^{f_{ki}}} \right), \qquad \sum_j m_{ij} = 1 $$

    The batch is that of all devices together, and rows without a caption are left out. The times are the density's.
    The towers (`patch` to `pretrained`) are those of `diffkit_clip.network.Sizes`; the model's denoiser, conditioners,
    `weighting` and `condition_dropout` are not used. Before noise is added a picture is moved by at most `shift` pixels
    each way, its edge repeated. The learning rate is `rate` times the optimizer's: at one that suits a UNet both towers
    soon give one vector for everything. It logs how often the caption of a held-out picture is the first, or among the
    first 10, of all different held-out captions at a few log-SNRs: `val_r1/<log-SNR>`, `val_r10/<log-SNR>`. The other
    keys are those of every `Task`. Raises `DiffkitError` for data without captions, and without square pictures.
    Radford et al. 2021, Learning Transferable Visual Models from Natural Language Supervision.
    """

    def __init__(
        self,
        model: DiffusionModel,
        density: TimeDensity,
        weighting: Weighting,
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        shape: Shape,
        seed: int,
        data: Data,
        patch: Natural = Sizes.patch,
        width: Count = Sizes.width,
        depth: Count = Sizes.depth,
        text_width: Count = Sizes.text_width,
        text_depth: Count = Sizes.text_depth,
        features: Count = Sizes.features,
        merges: Count = Sizes.merges,
        length: Count = Sizes.length,
        pretrained: str = Sizes.pretrained,
        shift: Natural = 0,
        rate: Positive = 0.25,
        ema: Fraction = 0.999,
        warmup: Natural = 100,
        decay: Literal["linear", "cosine", "constant"] = "linear",
        stratify: Literal["strata", "lattice", "none"] = "strata",
    ) -> None:
        refuse_untold(data.spec)
        sizes = Sizes(patch, width, depth, text_width, text_depth, features, merges, length, pretrained)
        network = NoisyCLIP(model.codec, model.schedule, shape, sizes)
        if not pretrained:
            network.tokens.learn(_told(data.reference("train")["text"]))
        given = (network, density, weighting, _slower(optimizer, rate), shape, seed)
        super().__init__(*given, 0.0, ema, warmup, decay, stratify)
        self.shift = shift
        self._candidates = list(dict.fromkeys(_told(data.reference("test")["text"])))

    @staticmethod
    def trained(model: DiffusionModel, spec: DataSpec, keys: Mapping[str, Any]) -> NoisyCLIP:
        """See `Task`."""
        refuse_untold(spec)
        sizes = Sizes(**{field.name: keys[field.name] for field in fields(Sizes) if field.name in keys})
        shape = model.codec.encode(torch.zeros(1, *spec.shape)).shape[1:]
        return NoisyCLIP(model.codec, model.schedule, tuple(shape), sizes)

    def losses(
        self,
        model: NoisyCLIP,
        batch: Batch,
        t: Float[Tensor, " b"],
        eps: Float[Tensor, " b *e"],
        keep: Bool[Tensor, "c b"] | None,
    ) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
        """See `Task`."""
        learns = model is self.model
        with torch.no_grad():
            x_0 = model.codec.encode(moved(batch["x"], self.shift) if learns else batch["x"])
        alpha, sigma = model.schedule(t.clamp(*model.schedule.span()))
        x_t = alpha.to(x_0)[:, None, None, None] * x_0 + sigma.to(x_0)[:, None, None, None] * eps
        texts = list(batch["text"])
        rows = (model.images(x_t, alpha, sigma), model.texts([text or "" for text in texts]), texts)
        losses = contrastive(*rows, model.logit_scale, *(self._everyone(*rows) if learns else rows))
        return losses, (2 * (alpha.log() - sigma.log())).to(x_0)

    def held_out(self, model: NoisyCLIP, batch: Batch, eps: Float[Tensor, " b *e"]) -> dict[str, Tensor]:
        """See `Task`."""
        told = [i for i, text in enumerate(batch["text"]) if text is not None]
        words = model.texts(self._candidates)
        right = torch.tensor([[batch["text"][i] == text for text in self._candidates] for i in told])
        x_0 = model.codec.encode(batch["x"])[told]
        figures: dict[str, Tensor] = {}
        for level in LEVELS if told else ():
            pictures = model.images(*at_level(x_0, eps[told], level))
            rank = ranks(pictures @ words.T, right.to(words.device))
            figures |= {f"r{k}/{level}": (rank < k).float().mean() for k in AMONG}
        return figures

    def _everyone(self, pictures: Tensor, words: Tensor, texts: Texts) -> tuple[Tensor, Tensor, Texts]:
        """The rows of all devices; gradients find their way back to each."""
        if self.trainer.world_size == 1:
            return pictures, words, texts
        parts: list[Any] = [None] * self.trainer.world_size
        distributed.all_gather_object(parts, texts)
        joined = [self.all_gather(a, sync_grads=True).flatten(0, 1) for a in (pictures, words)]  # type: ignore[union-attr]
        return joined[0], joined[1], [text for part in parts for text in part]


def contrastive(
    pictures: Float[Tensor, "b d"],
    words: Float[Tensor, "b d"],
    texts: Texts,
    scale: Float[Tensor, ""],
    all_pictures: Float[Tensor, "n d"],
    all_words: Float[Tensor, "n d"],
    all_texts: Texts,
) -> Float[Tensor, " b"]:
    """The loss of each row among all rows, as `CLIPTask` says; 0 without a caption, the mean is that of the others."""
    place = {text: i for i, text in enumerate(dict.fromkeys(all_texts))}
    own, every = (torch.tensor([place[text] for text in some], device=words.device) for some in (texts, all_texts))
    told = torch.tensor([text is not None for text in all_texts], device=words.device)
    right = ((own[:, None] == every) & told).float()
    right = right / right.sum(1, keepdim=True).clamp(min=1)
    with torch.autocast(words.device.type, enabled=False):  # cosines of 3 digits are too few
        logits = [scale * a.float() @ b.float().T for a, b in ((pictures, all_words), (words, all_pictures))]
    logs = sum(log_softmax(a.masked_fill(~told, _NEVER), 1) for a in logits)
    return -(right * logs).sum(1) / 2 * (len(told) / max(1, int(told.sum())))


def moved(x: Float[Tensor, "b c h w"], most: int) -> Float[Tensor, "b c h w"]:
    """Each picture moved by at most so many pixels each way, its edge repeated."""
    if most == 0:
        return x
    by = torch.randint(-most, most + 1, (2, len(x), 1)).to(x.device)
    rows, columns = (
        (torch.arange(size, device=x.device) + b).clamp(0, size - 1) for size, b in zip(x.shape[2:], by, strict=True)
    )
    picture, channel = (torch.arange(size, device=x.device) for size in x.shape[:2])
    return x[picture[:, None, None, None], channel[:, None, None], rows[:, None, :, None], columns[:, None, None, :]]


def refuse_untold(spec: DataSpec) -> None:
    """Raise `DiffkitError` for data without captions."""
    if "text" not in spec.conditions:
        offered = ", ".join(sorted(spec.conditions)) or "nothing"
        raise DiffkitError(f"task=clip learns from captions, and the data offer {offered} beside x: choose other data")


def _slower(optimizer: Callable[..., Optimizer], rate: float) -> Callable[..., Optimizer]:
    def made(parameters: Iterable[nn.Parameter]) -> Optimizer:
        slower = optimizer(parameters)
        for group in slower.param_groups:
            group["lr"] *= rate
        return slower

    return made


def _told(texts: Iterable[str | None]) -> list[str]:
    return [text for text in texts if text is not None]


_NEVER = -1e4
"""The logit of a row that is not there to be chosen."""
