"""The inverse of a schedule from a table, for training: bisection would cost milliseconds in each step."""

from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core.schedule import LOGSNR_LIMIT, Schedule

_CELLS = 4000


@lru_cache(maxsize=32)
def _table(schedule: Schedule) -> tuple[float, Float[Tensor, " n"], Float[Tensor, " n"]]:
    """The lowest log-SNR; and at equal distances from there to the limit, the time and its slope."""
    low = max(-LOGSNR_LIMIT, schedule.logsnr(torch.ones((), dtype=torch.float64)).item())
    t = schedule.time(torch.linspace(low, LOGSNR_LIMIT, _CELLS + 1, dtype=torch.float64))
    (slope,) = torch.gradient(t, spacing=(LOGSNR_LIMIT - low) / _CELLS, edge_order=2)
    return low, t, slope


def _between(values: Float[Tensor, " n"], low: float, logsnr: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
    values = values.to(logsnr.device)
    place = (logsnr.clamp(low, LOGSNR_LIMIT) - low) * (_CELLS / (LOGSNR_LIMIT - low))
    i = place.long().clamp(max=_CELLS - 1)
    return torch.lerp(values[i], values[i + 1], place - i)


def time_at(schedule: Schedule, logsnr: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
    """`schedule.time`; t and 1 - t are right to a relative 2e-4, and beyond the path's ends they are those there."""
    low, times, _ = _table(schedule)
    return _between(times, low, logsnr)


def rate_at(schedule: Schedule, logsnr: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
    r"""$-\frac{d}{dt} \log\mathrm{SNR}_t$ where the log-SNR is `logsnr`; above 0.

    It is a mean over 0.02 of log-SNR: right to a relative 1e-4 for a smooth path, and what one with corners amounts to.
    """
    low, _, slopes = _table(schedule)
    return -1 / _between(slopes, low, logsnr)
