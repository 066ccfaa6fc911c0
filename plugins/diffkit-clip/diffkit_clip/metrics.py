"""How well samples match their prompts."""

from collections.abc import Callable
from hashlib import blake2b
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torchmetrics import Metric

from diffkit.core import Batch, Count, Data, SampleMetric
from diffkit_clip.match import judge


class Alignment(Metric, SampleMetric):
    r"""The mean cosine between samples and their prompts, as a CLIP sees them.

    $$ \frac{1}{n} \sum_i \cos(\mathrm{picture}_i, \mathrm{prompt}_i) $$

    From -1 to 1; held-out rows with their captions in the samples' place give what real pictures reach. Values of
    different CLIPs cannot be compared. (CLIPScore is 2.5 times the cosine, and 0 where that is negative; torchmetrics
    gives 100 times.) `run` is a run of `task=clip` on the same data, or a folder with a CLIP in the format of
    transformers. Raises `DiffkitError` for data without captions, or that this CLIP does not see.
    Hessel et al. 2021, CLIPScore: A Reference-free Evaluation Metric for Image Captioning.
    """

    real: ClassVar[Literal["train", "test"]] = "test"
    conditional: ClassVar[bool] = True
    higher_is_better = True
    total: Tensor
    rows: Tensor

    def __init__(self, run: str, data: Data, load_model: Callable[..., Any]) -> None:
        super().__init__()
        self.judge = judge("alignment", run, data, load_model)
        self.add_state("total", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("rows", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, x: Float[Tensor, " b *d"], columns: Batch) -> None:
        """Take in samples and their prompts; those without one are left out."""
        index, texts = _asked(columns)
        self.total += (self.judge.pictures(x[index]) * self.judge.words(texts)).sum().to(self.total)
        self.rows += len(texts)

    def compute(self) -> Float[Tensor, ""]:
        """The mean cosine, from -1 to 1."""
        return self.total / self.rows


class RPrecision(Metric, SampleMetric):
    r"""The share of samples whose own prompt matches them better, by a CLIP, than any of `candidates` - 1 others.

    The others are drawn from the different prompts of the set; what is given is the mean over all such draws, which
    needs none to be made: of N prompts that are not a sample's own, k of which match it better, none is among them with
    the probability

    $$ \binom{N - k}{R - 1} \Big/ \binom{N}{R - 1}, \qquad R = \mathrm{candidates} $$

    With less than R prompts it is the share whose own one is the best of all. Where the data have labels, a prompt that
    was asked for with the sample's own label is none of the others: it says the same. 1 is the best, and chance gives
    about 1 / R; held-out rows with their captions in the samples' place give what real pictures reach. `run` is as for
    `alignment`. Raises `DiffkitError` as that does.
    Xu et al. 2018, AttnGAN: Fine-Grained Text to Image Generation with Attentional Generative Adversarial Networks;
    by a CLIP after Park et al. 2021, Benchmark for Compositional Text-to-Image Synthesis.
    """

    real: ClassVar[Literal["train", "test"]] = "test"
    conditional: ClassVar[bool] = True
    higher_is_better = True
    pictures: list[Tensor]
    prompts: list[Tensor]
    labels: list[Tensor]
    names: list[Tensor]

    def __init__(self, run: str, data: Data, load_model: Callable[..., Any], candidates: Count = 100) -> None:
        super().__init__()
        self.judge = judge("r_precision", run, data, load_model)
        self.candidates = candidates
        for state in ("pictures", "prompts", "labels", "names"):
            self.add_state(state, [], dist_reduce_fx="cat")

    def update(self, x: Float[Tensor, " b *d"], columns: Batch) -> None:
        """Take in samples, their prompts and any labels; those without a prompt are left out."""
        index, texts = _asked(columns)
        names = torch.tensor([_name(text) for text in texts], dtype=torch.int64)
        self.pictures.append(self.judge.pictures(x[index]))
        self.prompts.append(self.judge.words(texts))
        self.names.append(names)
        self.labels.append(columns["label"][index].cpu() if "label" in columns else names)

    def compute(self) -> Float[Tensor, ""]:
        """The share, from 0 to 1."""
        pictures, prompts, labels, names = map(torch.cat, (self.pictures, self.prompts, self.labels, self.names))
        _, own = torch.unique(names, return_inverse=True)
        _, group = torch.unique(labels, return_inverse=True)
        different = prompts.new_zeros(int(own.max()) + 1, prompts.shape[1])
        different[own] = prompts
        same = torch.zeros(int(group.max()) + 1, len(different), dtype=torch.bool)
        same[group, own] = True
        return precision(pictures @ different.T, own, same[group], self.candidates)


def _asked(columns: Batch) -> tuple[list[int], list[str]]:
    """The rows that have a prompt, and their prompts."""
    index = [i for i, text in enumerate(columns["text"]) if text is not None]
    return index, [columns["text"][i] for i in index]


def _name(text: str) -> int:
    """A number that stands for a text."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def precision(
    cosines: Float[Tensor, "n m"], own: Int[Tensor, " n"], same: Bool[Tensor, "n m"], candidates: int
) -> Float[Tensor, ""]:
    """R-precision, from the cosine of each sample with each prompt, its own one, and those that say the same."""
    mine = cosines.gather(1, own[:, None])
    others = (~same).sum(1)
    better = ((cosines >= mine) & ~same).sum(1)
    drawn = others.clamp(max=candidates - 1)
    worse = others - better
    # where fewer than are drawn match it less, one that matches it better is among them
    logs = _chosen(worse, drawn) - _chosen(others, drawn)
    return torch.where(worse >= drawn, logs.exp(), 0).mean()


def _chosen(n: Int[Tensor, " n"], k: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """The logarithm of the falling factorial n (n - 1) ... (n - k + 1)."""
    return (n + 1).double().lgamma() - (n - k + 1).double().lgamma()
