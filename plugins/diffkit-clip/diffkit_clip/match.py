"""Which CLIP it is that says how well pictures match words, and what it makes of the words."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core import Data, DataSpec, DiffkitError
from diffkit_clip.export import is_noisy, load
from diffkit_clip.network import NoisyCLIP
from diffkit_clip.ordinary import OrdinaryCLIP

Clip = NoisyCLIP | OrdinaryCLIP
BATCH = 64
"""How many pictures a CLIP is shown at once."""
CLEAN = 12.0
"""The log-SNR that a noise-aware CLIP is told of a picture without noise: training seldom comes above it."""


def open_clip(run: str, spec: DataSpec, load_model: Callable[..., Any]) -> Clip:
    """The CLIP at `run`: a run or a bundle of task=clip on these data, or a folder in the format of transformers.

    One that was exported from such a run is noise-aware again, for data of its shape. Raises `DiffkitError` for
    anything else.
    """
    folder = Path(run).expanduser()
    if is_noisy(folder):
        exported = load(folder)
        if exported.shape != spec.shape:
            raise DiffkitError(
                f"run={run} sees noisy pictures of shape {list(exported.shape)}, and the data are of shape "
                f"{list(spec.shape)}: give a CLIP of these data"
            )
        return exported
    if (folder / "config.json").is_file():
        return OrdinaryCLIP(folder, spec)
    network = load_model(run, spec)
    if not isinstance(network, NoisyCLIP):
        raise DiffkitError(
            f"run={run} is no CLIP: give a run that was trained with task=clip, or a folder that holds a CLIP in the "
            "format of transformers"
        )
    return network


def words(clip: Clip, texts: Sequence[str | None]) -> Float[Tensor, "b d"]:
    """The unit vector of each text, and zeros for none, which match any picture by 0; equal ones are encoded once."""
    place = {text: i for i, text in enumerate(dict.fromkeys(texts))}
    with torch.no_grad():
        vectors = clip.texts([text or "" for text in place])
        told = torch.tensor([text is not None for text in place], device=vectors.device)
        return (vectors * told[:, None])[[place[text] for text in texts]]


@dataclass(frozen=True)
class Judge:
    """A CLIP that is shown samples of some data."""

    clip: Clip
    spec: DataSpec

    def pictures(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        """The unit vector of each picture, in the data's own units, on the CPU in float64."""
        like = next(self.clip.parameters())
        with torch.no_grad():
            parts = torch.split(self.spec.standardise(x.double()).to(like), BATCH)
            return torch.cat([self._clean(part) for part in parts]).double().cpu()

    def _clean(self, x: Tensor) -> Tensor:
        if isinstance(self.clip, OrdinaryCLIP):
            return self.clip.images(x)
        alpha, sigma = torch.tensor([1.0, math.exp(-CLEAN / 2)], dtype=torch.float64)
        return self.clip.images(self.clip.codec.encode(x), alpha, sigma)

    def words(self, texts: Sequence[str]) -> Float[Tensor, "b d"]:
        """The unit vector of each text, on the CPU in float64."""
        return words(self.clip, texts).double().cpu()


def judge(metric: str, run: str, data: Data, load_model: Callable[..., Any]) -> Judge:
    """The CLIP at `run` as a judge; raises `DiffkitError` as `open_clip` does, and for data without captions."""
    if "text" not in data.spec.conditions:
        raise DiffkitError(
            f"{metric} judges whether samples match their prompts, and {type(data).__name__} offers no captions: "
            "leave it out of metric=[...]"
        )
    return Judge(open_clip(run, data.spec, load_model), data.spec)
