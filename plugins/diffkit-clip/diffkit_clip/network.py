"""A CLIP of noisy pictures: how well do words say what x_t is going to be?"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import normalize

from diffkit.core import Codec, Conditioners, Count, DiffkitError, Natural, Network, Schedule, Shape
from diffkit_clip.encoders import HFText
from diffkit_clip.tokens import Tokens

LIMIT = 20.0
"""The log-SNR of what has no noise at all."""
PLANES = 8
"""How many channels of the picture tell the log-SNR."""
HEAD = 32
"""The width of an attention head, where the tower's is a multiple of it."""
PATCHES = 64
SCALE, MOST = 1 / 0.07, 100.0
"""The factor of the cosines before training, and its bound."""


@dataclass(frozen=True)
class Sizes:
    """How large the towers of a `NoisyCLIP` are."""

    patch: Natural = 0
    """The side of a patch of the picture, in pixels; 0 for the smallest, from 2 on, with at most 64 patches."""
    width: Count = 64
    depth: Count = 4
    text_width: Count = 64
    text_depth: Count = 2
    features: Count = 64
    """The dimension of the space in which pictures and words are compared."""
    merges: Count = 1024
    """Tokens beside the bytes."""
    length: Count = 32
    """Tokens of a text, with start and end: what is beyond is not read."""
    pretrained: str = ""
    """A frozen encoder that reads the words instead of a tower, as `hf_text` takes it; "" for none."""


class NoisyCLIP(Network):
    r"""Words and noisy pictures as unit vectors of one space, near to each other where they match.

    $$ f = \tau \langle g(c_\mathrm{in} x_t, \log\mathrm{SNR}_t), h(\mathrm{text}) \rangle $$

    A `CLIPModel` of the library transformers, small, whose pictures have 8 channels more: constant planes of sines and
    cosines of the log-SNR, kept within 20. It may be asked along any path from data to noise, and for clean pictures.
    `images` and `match` take what a model diffuses, a codec's latents where it has one. With `sizes.pretrained` there
    is no tower for words: h is one linear map of a frozen encoder's vector, which stands in `conditioners`. Raises
    `DiffkitError` for data that are no square pictures, and for an encoder that is not there.
    Radford et al. 2021, Learning Transferable Visual Models from Natural Language Supervision; Nichol et al. 2021,
    GLIDE, section 2.4.
    """

    def __init__(self, codec: Codec, schedule: Schedule, shape: Shape, sizes: Sizes) -> None:
        super().__init__()
        reads = [HFText(sizes.pretrained)] if sizes.pretrained else []
        self.codec, self.schedule, self.conditioners = codec, schedule, Conditioners(reads)
        self.conditioners.requires_grad_(False)  # no text is left out, so that a null has nothing to learn from
        self.shape = shape
        self.tokens = Tokens(0 if reads else sizes.merges, sizes.length)
        self.clip: Any = _towers(shape, sizes, self.tokens)  # whose methods and parts a Module does not say
        for encoder in reads:
            self.clip.text_model = None
            self.clip.text_projection = nn.Linear(encoder.spec.vector or 0, sizes.features, bias=False)

    @property
    def reader(self) -> HFText | None:
        """The frozen encoder that reads the words, where there is one."""
        return next((part for part in self.conditioners.parts if isinstance(part, HFText)), None)

    @property
    def logit_scale(self) -> Float[Tensor, ""]:
        """The factor of the cosines, learned: at most 100."""
        scale: Tensor = self.clip.logit_scale.clamp(max=math.log(MOST)).exp()
        return scale

    def images(
        self, x_t: Float[Tensor, "b c h w"], alpha: Float[Tensor, "*b"], sigma: Float[Tensor, "*b"]
    ) -> Float[Tensor, "b d"]:
        """The unit vector of each noisy picture, of the path `alpha`, `sigma` from one time or one for each row."""
        weight = self.clip.visual_projection.weight
        alpha, sigma = (a.double().expand(len(x_t)).to(weight.device) for a in (alpha, sigma))
        c_in = (alpha.square() + sigma.square()).rsqrt().to(weight.dtype)[:, None, None, None]
        told = planes(2 * (alpha.log() - sigma.log()))[:, :, None, None].to(weight.dtype)
        pixels = torch.cat([c_in * x_t.to(weight), told.expand(-1, -1, *x_t.shape[2:])], 1)
        return normalize(self.clip.get_image_features(pixels).pooler_output, dim=1)

    def texts(self, texts: Sequence[str]) -> Float[Tensor, "n d"]:
        """The unit vector of each text; equal ones are encoded once."""
        place = {text: i for i, text in enumerate(dict.fromkeys(texts))}
        if self.reader is None:
            said = self.clip.get_text_features(self.tokens(list(place))).pooler_output
        else:
            said = self.clip.text_projection(self.reader({"text": list(place)}).vector)
        features = normalize(said, dim=1)
        return features[torch.tensor([place[text] for text in texts], device=features.device)]

    def match(
        self,
        x_t: Float[Tensor, "b c h w"],
        alpha: Float[Tensor, "*b"],
        sigma: Float[Tensor, "*b"],
        texts: Sequence[str | None],
    ) -> Float[Tensor, " b"]:
        """How well each row's picture matches its text: f, and 0 where there is none."""
        told = torch.tensor([text is not None for text in texts], device=x_t.device)
        words = self.texts([text or "" for text in texts])
        cosines = (self.images(x_t, alpha, sigma) * words).sum(1)
        return torch.where(told, (self.logit_scale * cosines).to(x_t.dtype), 0)


def planes(logsnr: Float[Tensor, " b"]) -> Float[Tensor, "b k"]:
    """What the picture's last channels hold: sines and cosines of the log-SNR, of periods 80, 40, 20 and 10."""
    place = logsnr.clamp(-LIMIT, LIMIT)[:, None] * math.pi / (2 * LIMIT)
    angle = place * 2 ** torch.arange(PLANES // 2, device=logsnr.device)
    return torch.cat([angle.sin(), angle.cos()], 1)


def _towers(shape: Shape, sizes: Sizes, tokens: Tokens) -> Any:
    """An untrained `CLIPModel` of these sizes."""
    from transformers import CLIPConfig, CLIPModel

    if len(shape) != 3 or shape[1] != shape[2]:
        raise DiffkitError(f"a CLIP sees square pictures, and the data are of shape {list(shape)}: choose other data")
    patch = sizes.patch or next(
        p for p in range(min(2, shape[1]), shape[1] + 1) if shape[1] % p == 0 and (shape[1] // p) ** 2 <= PATCHES
    )
    if shape[1] % patch:
        raise DiffkitError(f"pictures {shape[1]} pixels wide cannot be cut into patches of {patch}: choose a divisor")
    special = {"bos_token_id": tokens.start, "eos_token_id": tokens.end, "pad_token_id": tokens.end}
    text = _tower(sizes.text_width, sizes.text_depth) | special
    text |= {"vocab_size": tokens.size, "max_position_embeddings": sizes.length}
    vision = _tower(sizes.width, sizes.depth)
    vision |= {"image_size": shape[1], "patch_size": patch, "num_channels": shape[0] + PLANES}
    config = CLIPConfig(
        text_config=text,
        vision_config=vision,
        projection_dim=sizes.features,
        logit_scale_init_value=math.log(SCALE),
    )
    return CLIPModel(config)


def _tower(width: int, depth: int) -> dict[str, Any]:
    heads = width // HEAD if width % HEAD == 0 else 1
    return {
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": depth,
        "num_attention_heads": heads,
    }
