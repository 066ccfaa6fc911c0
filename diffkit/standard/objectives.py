"""Objectives: densities of training times, and weightings of the loss."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core.objective import TimeDensity, Weighting
from diffkit.core.schedule import LOGSNR_LIMIT, Schedule
from diffkit.core.types import Positive

_CELLS = 4000


@lru_cache(maxsize=32)
def _times(schedule: Schedule) -> Float[Tensor, " n"]:
    return schedule.time(torch.linspace(-LOGSNR_LIMIT, LOGSNR_LIMIT, _CELLS + 1, dtype=torch.float64))


def _time(schedule: Schedule, logsnr: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
    """`schedule.time` for training: from a table, since bisection would cost milliseconds in each step.

    t and 1 - t are right to a relative 2e-5; the density moves by as little.
    """
    table = _times(schedule).to(logsnr.device)
    place = (logsnr.clamp(-LOGSNR_LIMIT, LOGSNR_LIMIT) + LOGSNR_LIMIT) * (_CELLS / (2 * LOGSNR_LIMIT))
    i = place.long().clamp(max=_CELLS - 1)
    return torch.lerp(table[i], table[i + 1], place - i)


@dataclass(frozen=True)
class UniformDensity(TimeDensity):
    """Times uniform in [0, 1). Ho et al. 2020, Denoising Diffusion Probabilistic Models."""

    def __call__(self, schedule: Schedule, u: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
        """See `TimeDensity`."""
        return u


@dataclass(frozen=True)
class LogitNormal(TimeDensity):
    r"""Times whose logit is normal.

    $$ \log \frac{t}{1 - t} \sim \mathcal N(\mathrm{mean}, \mathrm{std}^2) $$

    It prefers the middle of the path. Esser et al. 2024, Scaling Rectified Flow Transformers.
    """

    mean: float = 0.0
    std: Positive = 1.0

    def __call__(self, schedule: Schedule, u: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
        """See `TimeDensity`."""
        return torch.sigmoid(self.mean + self.std * torch.special.ndtri(u))


@dataclass(frozen=True)
class EdmDensity(TimeDensity):
    r"""Noise levels that are log-normal.

    $$ \log(\sigma_t / \alpha_t) \sim \mathcal N(\mathrm{mean}, \mathrm{std}^2) $$

    The same levels on any schedule; those beyond its end fall on its end. The default mean is EDM's, -1.2 for data
    of standard deviation 0.5, for data of standard deviation 1.
    Karras et al. 2022, Elucidating the Design Space of Diffusion-Based Generative Models.
    """

    mean: float = -0.5
    std: Positive = 1.2

    def __call__(self, schedule: Schedule, u: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
        """See `TimeDensity`."""
        return _time(schedule, -2 * (self.mean + self.std * torch.special.ndtri(u)))


@dataclass(frozen=True)
class Unit(Weighting):
    """No weighting: L_simple for `eps`, the v, flow-matching and EDM losses for their predictions."""

    def __call__(self, logsnr: Float[Tensor, " b"], c_out: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
        """See `Weighting`."""
        return torch.ones_like(logsnr)


@dataclass(frozen=True)
class MinSnr(Weighting):
    r"""The error of x_0 weighed by its signal-to-noise ratio, cut off at `gamma`.

    $$ w = \min(\mathrm{SNR}, \gamma)\, c_\mathrm{out}^2 $$

    So F is weighed by $\min(1, \gamma / \mathrm{SNR})$ for `eps`, and by
    $\min(\mathrm{SNR}, \gamma) / (\mathrm{SNR} + 1)$ for `v`.
    Hang et al. 2023, Efficient Diffusion Training via Min-SNR Weighting Strategy.
    """

    gamma: Positive = 5.0

    def __call__(self, logsnr: Float[Tensor, " b"], c_out: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
        """See `Weighting`."""
        return logsnr.exp().clamp(max=self.gamma) * c_out.square()
