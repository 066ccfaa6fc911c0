"""The range of log-SNR that a grid covers."""

from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core.errors import DiffkitError
from diffkit.core.schedule import LOGSNR_LIMIT, Schedule
from diffkit.core.types import Range

LogSnrValue = Annotated[float, Range(-LOGSNR_LIMIT, LOGSNR_LIMIT)]


def span(schedule: Schedule, logsnr_min: float, logsnr_max: float = LOGSNR_LIMIT) -> tuple[float, float]:
    """The range of log-SNR asked for, as far as the schedule has it. Raises `DiffkitError` if nothing is left."""
    end = schedule.logsnr(torch.ones((), dtype=torch.float64)).item()
    low, high = max(logsnr_min, end, -LOGSNR_LIMIT), min(logsnr_max, LOGSNR_LIMIT)
    if low >= high:
        raise DiffkitError(
            f"the grid's logsnr_max is {logsnr_max:g}, which is not above {low:g}, the lowest log-SNR of the grid "
            f"(logsnr_min={logsnr_min:g}) on {schedule}; raise grid.logsnr_max"
        )
    return low, high


def start(schedule: Schedule, logsnr_min: float) -> float:
    """The last time at which the log-SNR is `logsnr_min`, or 1."""
    return schedule.time(torch.tensor(span(schedule, logsnr_min)[0], dtype=torch.float64)).item()


def to_data(schedule: Schedule, logsnr: Float[Tensor, " n"]) -> Float[Tensor, " n+1"]:
    """The times at rising log-SNRs, and the end."""
    return torch.cat([schedule.time(logsnr), torch.zeros(1, dtype=torch.float64)])
