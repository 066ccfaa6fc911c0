"""A CLIP of clean pictures, and the cutouts that it sees."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate, normalize

from diffkit.core import DataSpec, DiffkitError, Noise
from diffkit_clip.pretrained import Pretrained

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""Of the pictures that CLIP was trained on, from 0 to 1: where a folder has no preprocessor_config.json."""


class OrdinaryCLIP(nn.Module):
    """A CLIP from a folder of the library transformers, for pictures of the model's space.

    Pictures of one channel are shown as grey ones. It reads as many tokens of a text as it has places for. Raises
    `DiffkitError` for data that are no pictures of one or three channels with a range, and for a folder that holds no
    such CLIP, its tokeniser, and its weights as safetensors.
    Radford et al. 2021, Learning Transferable Visual Models from Natural Language Supervision.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, folder: Path, spec: DataSpec) -> None:
        super().__init__()
        _refuse_no_pictures(folder, spec)
        self.spec = spec
        self.clip, self.tokenizer = _opened(folder)
        for name, values in zip(("mean", "std"), _moments(folder), strict=True):
            self.register_buffer(name, torch.tensor(values).reshape(3, 1, 1), persistent=False)

    @property
    def logit_scale(self) -> Float[Tensor, ""]:
        """The factor of the cosines."""
        scale: Tensor = self.clip.logit_scale.exp()
        return scale

    def images(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        """The unit vector of each picture, of any size; it is brought to the size that the CLIP sees."""
        assert self.spec.low is not None and self.spec.high is not None  # it is refused otherwise
        scale, mean = (x.new_tensor(values).reshape(-1, 1, 1) for values in (self.spec.scale, self.spec.mean))
        # not cut to the range: beyond it there would be no gradient back
        pixels = (x * scale + mean - self.spec.low) / (self.spec.high - self.spec.low)
        size = self.clip.config.vision_config.image_size
        pixels = interpolate(pixels, (size, size), mode="bicubic", align_corners=False, antialias=True)
        pixels = (pixels.to(self.mean).expand(-1, 3, -1, -1) - self.mean) / self.std
        return normalize(self.clip.get_image_features(pixels).pooler_output, dim=1)

    def texts(self, texts: Sequence[str]) -> Float[Tensor, "n d"]:
        """The unit vector of each text."""
        length = self.clip.config.text_config.max_position_embeddings
        tokens = self.tokenizer(
            list(texts), padding=True, truncation=True, max_length=length, return_tensors="pt"
        )  # .to: not of plain dicts
        given = {name: tokens[name].to(self.mean.device) for name in ("input_ids", "attention_mask")}
        return normalize(self.clip.get_text_features(**given).pooler_output, dim=1)


def cutouts(
    x: Float[Tensor, "b c h w"], t: Float[Tensor, ""], number: int, smallest: float
) -> list[Float[Tensor, "b c k k"]]:
    """Squares of each picture at random places, with sides from the share `smallest` of the shorter side to all of it.

    They depend on the time t alone, so that a sample does not depend on those beside it.
    """
    bits = int(t.double().cpu().view(torch.int64))
    uniform = torch.special.ndtr(Noise(bits, range(number))(torch.empty(number, 3, dtype=torch.float64)))
    height, width = x.shape[2:]
    found = []
    for share, down, right in uniform.tolist():
        side = max(1, round(min(height, width) * (smallest + (1 - smallest) * share)))
        top, left = round((height - side) * down), round((width - side) * right)
        found.append(x[:, :, top : top + side, left : left + side])
    return found


def _refuse_no_pictures(folder: Path, spec: DataSpec) -> None:
    if len(spec.shape) != 3 or spec.shape[0] not in (1, 3):
        raise DiffkitError(
            f"the CLIP in {folder} sees pictures of one or three channels, and the data are of shape "
            f"{list(spec.shape)}: choose other data"
        )
    if spec.low is None or spec.high is None:
        raise DiffkitError(
            f"the CLIP in {folder} sees pictures from black to white, and the data declare no lowest and highest "
            "value: choose other data"
        )


def _opened(folder: Path) -> tuple[Any, Any]:
    """The two towers, and what makes tokens of texts."""
    from transformers import CLIPModel

    pretrained = Pretrained.find(str(folder))
    config = pretrained.config()
    if config.model_type != "clip":
        raise DiffkitError(f"{folder} holds a model of type {config.model_type!r}: give the folder of a CLIP")
    channels = config.vision_config.num_channels
    if channels != 3:
        raise DiffkitError(f"the CLIP in {folder} sees pictures of {channels} channels, not of red, green and blue")
    return pretrained.network(CLIPModel), pretrained.tokenizer()


def _moments(folder: Path) -> tuple[Sequence[float], Sequence[float]]:
    """The mean and the deviation by which pictures are standardised."""
    try:
        said = json.loads((folder / "preprocessor_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return MEAN, STD
    found = said if isinstance(said, dict) else {}
    return found.get("image_mean", MEAN), found.get("image_std", STD)
