"""Keeping x_0 within the range of the data."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core.condition import Condition
from diffkit.core.data import DataSpec
from diffkit.core.errors import DiffkitError
from diffkit.core.guidance import Branches, Denoise, Guidance
from diffkit.core.types import Fraction


@dataclass(frozen=True)
class StaticThreshold(Guidance):
    """Static thresholding: x_0 is cut to the range of the data, in every step.

    The range is that which the data declare. Raises `DiffkitError` where they declare none.
    Ho et al. 2020, Denoising Diffusion Probabilistic Models (in its code); Saharia et al. 2022.
    """

    spec: DataSpec

    def __post_init__(self) -> None:
        _refuse_unbounded(self.spec)

    def __call__(self, denoise: Denoise, branches: Branches) -> Denoise:
        """See `Guidance`."""

        def guided(x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
            x_0 = denoise(x_t, t, condition)
            low, high = _ends(self.spec, x_0)
            return x_0.clamp(low, high)

        return guided


@dataclass(frozen=True)
class DynamicThreshold(Guidance):
    r"""Dynamic thresholding: where too much of a sample leaves the range of the data, it shrinks towards the middle.

    $$ \hat x_0 \leftarrow m + h \operatorname{clip}\left(\frac{\hat x_0 - m}{s}, -1, 1\right), \qquad
       s = \max(h, q) $$

    with the middle m of the data's range, half its width h, and q that quantile of a sample's distances from the
    middle. The paper's "percentile" 99.5 is `quantile` 0.995. Raises `DiffkitError` where the data declare no range.
    Saharia et al. 2022, Photorealistic Text-to-Image Diffusion Models with Deep Language Understanding.
    """

    spec: DataSpec
    quantile: Fraction = 0.995

    def __post_init__(self) -> None:
        _refuse_unbounded(self.spec)

    def __call__(self, denoise: Denoise, branches: Branches) -> Denoise:
        """See `Guidance`."""

        def guided(x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
            x_0 = denoise(x_t, t, condition)
            low, high = _ends(self.spec, x_0)
            middle, half = (low + high) / 2, (high - low) / 2
            unit = (x_0 - middle) / half
            far = torch.quantile(unit.abs().flatten(1), self.quantile, dim=1).clamp(min=1)
            return middle + half * (unit / far.reshape(-1, *[1] * (x_0.ndim - 1))).clamp(-1, 1)

        return guided


def _refuse_unbounded(spec: DataSpec) -> None:
    if spec.low is None or spec.high is None:
        raise DiffkitError(
            "the data declare no lowest and highest value, and latents have none: choose other data, codec=identity, or"
            " no threshold"
        )


def _ends(spec: DataSpec, x: Float[Tensor, " b *d"]) -> tuple[Tensor, Tensor]:
    """The range of the data in the model's space; raises `DiffkitError` for latents, which have none."""
    shape = tuple(x.shape[1:])
    if shape != tuple(spec.shape):
        raise DiffkitError(f"thresholds are for data of shape {spec.shape}: latents of shape {shape} have no range")
    limits = torch.tensor([spec.low, spec.high], dtype=x.dtype, device=x.device).reshape(2, *[1] * len(spec.shape))
    ends = spec.standardise(limits.expand(2, *spec.shape))
    return ends[:1], ends[1:]
