"""Contracts of grids."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core.grid import Grid
from diffkit.core.schedule import LOGSNR_LIMIT, Schedule
from diffkit.testing.contracts.hold import hold, table
from diffkit.testing.contracts.require import require
from diffkit.testing.contracts.value import check_value
from diffkit.testing.given import schedules as registered

STEPS = (1, 2, 3, 20, 100)
"""The numbers of steps that a grid is tried with."""


@dataclass(frozen=True)
class OnSchedule:
    """A grid and the schedule that it is tried on."""

    grid: Grid
    schedule: Schedule

    @cached_property
    def made(self) -> list[tuple[Float[Tensor, " n"], str]]:
        """The times for each number of steps, and the words that say which."""
        grids: list[Grid] = [replace(self.grid, steps=n) for n in STEPS]  # type: ignore[type-var]  # a dataclass
        return [(g(self.schedule), f"with {n} steps on {self.schedule}") for n, g in zip(STEPS, grids, strict=True)]


def value(case: OnSchedule) -> None:
    """A grid is a frozen dataclass of plain values, equal to a copy of itself."""
    check_value(case.grid)


def steps(case: OnSchedule) -> None:
    """There is one time more than there are steps, for 1, 2, 3, 20 and 100 of them, in float64."""
    for n, (times, at) in zip(STEPS, case.made, strict=True):
        shape = tuple(times.shape)
        require(shape == (n + 1,), case.grid, f"the times are of shape {shape}, not {(n + 1,)}, {at}")
        require(times.dtype == torch.float64, case.grid, f"the times are {times.dtype}, not torch.float64, {at}")


def falls(case: OnSchedule) -> None:
    """The times fall strictly."""
    for times, at in case.made:
        wrong = (~(times.diff() < 0)).nonzero().flatten().tolist()[:1]
        said = [f"time {i + 1} is {times[i]:.8g} and the next {times[i + 1]:.8g} {at}" for i in wrong]
        require(not wrong, case.grid, "".join(said))


def ends(case: OnSchedule) -> None:
    """The last time is exactly 0, where the data are."""
    for times, at in case.made:
        require(times[-1].item() == 0, case.grid, f"the last time is {times[-1].item():g}, not 0, {at}")


def starts(case: OnSchedule) -> None:
    """The first time is at most 1 and has a log-SNR of at least -20, so that alpha is not 0."""
    for times, at in case.made:
        first = times[0].item()
        require(0 < first <= 1, case.grid, f"the first time is {first:g}, not within (0, 1], {at}")
        logsnr = case.schedule.logsnr(times[0]).item()
        require(logsnr >= -LOGSNR_LIMIT - 1e-6, case.grid, f"the log-SNR starts at {logsnr:.4g}, below -20, {at}")


GRID = table(value, steps, falls, ends, starts)


def check_grid(grid: Grid, schedules: Sequence[Schedule] | None = None) -> None:
    """Hold a grid against its contracts on some schedules, the registered ones by default.

    Raises `AssertionError` with what broke and what was measured.
    """
    hold(GRID, *(OnSchedule(grid, schedule) for schedule in schedules or registered()))
