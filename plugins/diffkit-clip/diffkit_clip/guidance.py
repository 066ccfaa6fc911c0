"""Guidance by a CLIP."""

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from diffkit.core import (
    Batch,
    Branches,
    Condition,
    Count,
    DataSpec,
    Denoise,
    DiffkitError,
    Fraction,
    Guidance,
    NonNegative,
    Ramp,
    check_ramp,
    strength,
)
from diffkit_clip.match import Clip, open_clip, words
from diffkit_clip.network import NoisyCLIP
from diffkit_clip.ordinary import OrdinaryCLIP, cutouts


class ClipGuidance(Guidance):
    r"""Steps towards pictures that match the prompt, by the gradient of their match by a CLIP.

    $$ \hat x_0 \leftarrow \hat x_0 + (\mathrm{scale} - 1)\, \frac{\sigma_t^2}{\alpha_t} \nabla_{x_t} f,
       \qquad f = \tau \cos(\mathrm{picture}, \mathrm{prompt}) $$

    with the factor of the cosines that the CLIP has learned. In small steps this shifts the mean of an ancestral step
    by its variance times the gradient. 1 is off, and the papers' scale is ours less 1. `run` is one of `task=clip` on
    the same data, which sees x_t: one pass of it and its gradient for each call. Or a folder with a CLIP in the format
    of transformers, which has learned from clean pictures: it sees the model's x_0 through cutouts, as many as
    `cutouts`, with sides of at least the share `smallest` of the picture's; the gradient then goes through the model,
    in the pass that gives x_0. One that was exported from a run sees x_t again. Each sample needs a prompt; rows
    without one are left alone. Nothing is computed where the `ramp` is 0, as by default where nearly all is noise: what
    is decided there costs variety.
    Nichol et al. 2021, GLIDE: Towards Photorealistic Image Generation and Editing with Text-Guided Diffusion Models,
    section 2.4; the cutouts after Crowson et al. 2022, VQGAN-CLIP.
    """

    reads: ClassVar[tuple[str, ...]] = ("text",)

    def __init__(
        self,
        run: str,
        load_model: Callable[..., Any],
        spec: DataSpec,
        scale: NonNegative = 6.0,
        ramp: Ramp = ((-6.0, 0.0), (-4.0, 1.0)),
        cutouts: Count = 8,
        smallest: Fraction = 0.5,
    ) -> None:
        check_ramp(ramp)
        self.scale, self.ramp = scale, ramp
        self.cutouts, self.smallest = cutouts, smallest
        self.clip: Clip = open_clip(run, spec, load_model)

    def __call__(self, denoise: Denoise, branches: Branches) -> Denoise:
        """See `Guidance`."""
        column = branches.columns.get("text")
        if self.scale == 1 or (column is not None and not any(text is not None for text in column)):
            return denoise
        told: Tensor | None = None

        def prompts(device: torch.device) -> Tensor:
            nonlocal told
            if told is None:
                told = self._prompts(branches.columns, device)
            return told

        def guided(x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
            extra = strength(self.scale, self.ramp, branches.schedule, t)
            if extra == 0:
                return denoise(x_t, t, condition)
            alpha, sigma = branches.schedule(t)
            clip = self.clip
            if isinstance(clip, NoisyCLIP):

                def match(x: Tensor) -> Tensor:
                    wanted = prompts(x.device)  # before the CLIP is asked: it is on its device from then on
                    return (clip.images(x, alpha, sigma) * wanted).sum(1)

                slope = branches.gradient("clip", match, x_t)
            else:

                def match_x_0(x_0: Tensor) -> Tensor:
                    wanted = prompts(x_0.device)
                    return (self._looked_at(clip, x_0, t) * wanted).sum(1)

                # before what stands earlier in the list, which then finds x_0 already computed
                slope = branches.gradient_through("clip", match_x_0, x_t, t, condition)
            return denoise(x_t, t, condition) + slope * (extra * sigma.square() / alpha).item()

        return guided

    def _prompts(self, columns: Batch, device: torch.device) -> Tensor:
        """The prompts of the rows as vectors, times the factor of the cosines; the CLIP goes to the device."""
        if "text" not in columns:
            raise DiffkitError("guidance by a CLIP steers towards prompts, and there are none: give some")
        self.clip.to(device)
        return words(self.clip, columns["text"]) * self.clip.logit_scale

    def _looked_at(self, clip: OrdinaryCLIP, x_0: Tensor, t: Tensor) -> Tensor:
        """The mean of the vectors of each picture's cutouts."""
        if x_0.shape[1:] != clip.spec.shape:
            raise DiffkitError(
                f"guidance by an ordinary CLIP is for pictures of shape {list(clip.spec.shape)}, not for latents of "
                f"shape {list(x_0.shape[1:])}: choose a CLIP of task=clip"
            )
        pieces = cutouts(x_0, t, self.cutouts, self.smallest)
        return torch.stack([clip.images(piece) for piece in pieces]).mean(0)
