"""Grids: where a sampler stops on its way from noise to data. All end exactly at t = 0."""

from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core.errors import DiffkitError
from diffkit.core.grid import Grid
from diffkit.core.schedule import LOGSNR_LIMIT, Schedule
from diffkit.core.types import Count, Positive, Range

LogSnrValue = Annotated[float, Range(-LOGSNR_LIMIT, LOGSNR_LIMIT)]


def _span(schedule: Schedule, logsnr_min: float, logsnr_max: float) -> tuple[float, float]:
    """The range of log-SNR asked for, as far as the schedule has it. Raises `DiffkitError` if nothing is left."""
    end = schedule.logsnr(torch.ones((), dtype=torch.float64)).item()
    low, high = max(logsnr_min, end, -LOGSNR_LIMIT), min(logsnr_max, LOGSNR_LIMIT)
    if low >= high:
        raise DiffkitError(
            f"the grid's logsnr_max is {logsnr_max:g}, which is not above {low:g}, the lowest log-SNR of the grid "
            f"(logsnr_min={logsnr_min:g}) on {schedule}; raise grid.logsnr_max"
        )
    return low, high


def _times(schedule: Schedule, logsnr: Float[Tensor, " n"]) -> Float[Tensor, " n+1"]:
    """The times at rising log-SNRs, and the end."""
    return torch.cat([schedule.time(logsnr), torch.zeros(1, dtype=torch.float64)])


@dataclass(frozen=True)
class Uniform(Grid):
    """Steps of equal length in time, from the last time at which the log-SNR is `logsnr_min`, or from t = 1.

    A lower start gains nothing, since the noise there is the prior to a relative 2e-5; and it costs whoever predicts
    the noise, whose error in x_0 is multiplied by sigma / alpha, 150 at the default. DDPM's schedule ends at -10.1.
    """

    steps: Count = 20
    logsnr_min: LogSnrValue = -10.0

    def __call__(self, schedule: Schedule) -> Float[Tensor, " n"]:
        """See `Grid`."""
        low = torch.tensor(_span(schedule, self.logsnr_min, LOGSNR_LIMIT)[0], dtype=torch.float64)
        return torch.linspace(schedule.time(low).item(), 0, self.steps + 1, dtype=torch.float64)


@dataclass(frozen=True)
class LogSnr(Grid):
    """Steps of equal length in log-SNR from `logsnr_min` to `logsnr_max`, and one from there to the data.

    Lu et al. 2022, DPM-Solver: A Fast ODE Solver for Diffusion Probabilistic Model Sampling in Around 10 Steps.
    """

    steps: Count = 20
    logsnr_min: LogSnrValue = -9.0
    logsnr_max: LogSnrValue = 9.0

    def __call__(self, schedule: Schedule) -> Float[Tensor, " n"]:
        """See `Grid`."""
        low, high = _span(schedule, self.logsnr_min, self.logsnr_max)
        return _times(schedule, torch.linspace(low, high, self.steps, dtype=torch.float64))


@dataclass(frozen=True)
class Karras(Grid):
    r"""Steps of equal length in a power of the noise level between two log-SNRs, and one from there to the data.

    $$ (\sigma_t / \alpha_t)^{1/\rho} \text{ falls in equal steps} $$

    Large `rho` puts more steps near the data. EDM's noise levels 80 to 0.002 are log-SNRs of -8.8 to 12.4.
    Karras et al. 2022, Elucidating the Design Space of Diffusion-Based Generative Models.
    """

    steps: Count = 20
    rho: Positive = 7.0
    logsnr_min: LogSnrValue = -9.0
    logsnr_max: LogSnrValue = 9.0

    def __call__(self, schedule: Schedule) -> Float[Tensor, " n"]:
        """See `Grid`."""
        ends = torch.tensor(_span(schedule, self.logsnr_min, self.logsnr_max), dtype=torch.float64)
        first, last = (ends / (-2 * self.rho)).exp().tolist()
        levels = torch.linspace(first, last, self.steps, dtype=torch.float64)
        return _times(schedule, -2 * self.rho * levels.log())
