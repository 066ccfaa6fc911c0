"""Variance-preserving schedules that are given by their log-SNR."""

from dataclasses import dataclass
from math import cosh, log
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core.errors import DiffkitError
from diffkit.core.schedule import LOGSNR_LIMIT, Schedule
from diffkit.core.types import Range
from diffkit.standard.schedules.preserving import from_logsnr

End = Annotated[float, Range(-50, 50)]
Scale = Annotated[float, Range(0.1, 100)]


@dataclass(frozen=True)
class Sigmoid(Schedule):
    r"""Variance-preserving, with a signal's variance that falls as a piece of the logistic function S does.

    $$ \alpha_t^2 = \frac{S(z_1) - S(z_t)}{S(z_1) - S(z_0)}, \qquad z_t = \frac{a + t\, (b - a)}{\tau} $$

    for a = `start`, b = `end` and tau = `temperature`; alpha_1 is exactly 0, since nothing is clipped. Raises
    `DiffkitError` unless `end` is above `start`.
    Jabri et al. 2022, Scalable Adaptive Computation for Iterative Generation.
    """

    start: End = -3.0
    end: End = 3.0
    temperature: Scale = 1.0

    def __post_init__(self) -> None:
        if not self.end > self.start:
            raise DiffkitError(f"end={self.end:g} must be above start={self.start:g}; raise it")

    def __call__(self, t: Float[Tensor, "*b"]) -> tuple[Float[Tensor, "*b"], Float[Tensor, "*b"]]:
        """See `Schedule`."""
        # S(b) - S(a) is sinh((b - a) / 2) / (2 cosh(a / 2) cosh(b / 2)), which loses no digits where a and b are close
        half, low, high = (z / (2 * self.temperature) for z in (self.end - self.start, self.start, self.end))
        ratio = torch.sinh(half * (1 - t)).log() - torch.sinh(half * t).log()
        return from_logsnr(ratio + log(cosh(low) / cosh(high)))


@dataclass(frozen=True)
class Laplace(Schedule):
    r"""Variance-preserving, with a log-SNR that is Laplace distributed over uniform times.

    $$ \log\mathrm{SNR}_t = \mu - b\, \mathrm{sgn}(\tfrac12 - u) \log(1 - 2 |u - \tfrac12|), \qquad
       u = (1 - 10^{-9})\, t $$

    for the `mean` $\mu$ and the `width` b: half of all times are spent within 0.7 b of the mean, where training is
    worth most. The log-SNR ends at $\mu - 20 b$; beyond it, float64 times are too coarse.
    Hang et al. 2024, Improved Noise Schedule for Diffusion Training.
    """

    mean: Annotated[float, Range(-LOGSNR_LIMIT, LOGSNR_LIMIT)] = 0.0
    width: Scale = 0.5

    def __call__(self, t: Float[Tensor, "*b"]) -> tuple[Float[Tensor, "*b"], Float[Tensor, "*b"]]:
        """See `Schedule`."""
        below, above = (1 - 1e-9) * t, (1 - t) + 1e-9 * t  # u and 1 - u, both with all their digits
        logsnr = torch.where(below < above, -(2 * below).log(), (2 * above).log())
        return from_logsnr(self.mean + self.width * logsnr)
