"""Contracts of densities."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core.objective import AdaptiveDensity, TimeDensity
from diffkit.core.schedule import Schedule
from diffkit.testing.contracts.hold import hold, table
from diffkit.testing.contracts.require import require, require_close
from diffkit.testing.contracts.value import check_value
from diffkit.testing.given import schedules as registered, seeded


@dataclass(frozen=True)
class OnSchedule:
    """A density and the schedule that it is tried on."""

    density: TimeDensity
    schedule: Schedule

    def __call__(self, u: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
        """The times of `u`."""
        return self.density(self.schedule, u)


def uniform() -> Float[Tensor, " b"]:
    """Numbers in [0, 1), the first and the last of float64 among them."""
    ends = torch.tensor([0.0, 1e-16, 1 - 2**-53], dtype=torch.float64)
    return torch.cat([ends, torch.linspace(1e-6, 1 - 1e-6, 997, dtype=torch.float64)])


def value(case: OnSchedule) -> None:
    """A density that does not learn is a frozen dataclass of plain values, equal to a copy of itself."""
    check_value(case.density)


def range_(case: OnSchedule) -> None:
    """The times are finite float64 in [0, 1] for any u in [0, 1), and there are as many."""
    u = uniform()
    t = case(u)
    require(t.shape == u.shape, case.density, f"t is of shape {tuple(t.shape)} for u of {tuple(u.shape)}")
    require(t.dtype == torch.float64, case.density, f"t is {t.dtype}, not torch.float64")
    wrong = (~((t >= 0) & (t <= 1))).nonzero().flatten().tolist()[:1]
    said = [f"t is {t[i]:g} for u = {u[i]:g}, not within [0, 1], on {case.schedule}" for i in wrong]
    require(not wrong, case.density, "".join(said))


def untouched(case: OnSchedule) -> None:
    """The numbers u are not written into."""
    u, before = uniform(), uniform()
    case(u)
    require(bool((u == before).all()), case.density, "u was written into")


def rows(case: OnSchedule) -> None:
    """A time depends on its own u alone, and is the same each time it is asked for."""
    u = uniform()
    with seeded(0):
        together = case(u)
    with seeded(1):
        apart = case(u[::100])
    require_close(case.density, f"t for some of the u, against t for all, on {case.schedule}",
                  apart, together[::100], 1e-12)  # fmt: skip


def unbiased(case: OnSchedule) -> None:
    """A density that learns corrects for itself: the corrected mean of t² stays 1/3, whatever losses it has seen."""
    density = case.density
    if not isinstance(density, AdaptiveDensity):
        return
    u = (torch.arange(20000, dtype=torch.float64) + 0.5) / 20000
    for seen in ("no losses", "losses"):
        t = case(u)
        mean = (density.correction(t) * t.square()).mean()
        require_close(density, f"the corrected mean of t² after {seen}", mean, torch.full_like(mean, 1 / 3), 5e-3)
        density.observe(u, 0.1 + u.square())


DENSITY = table(value, range_, untouched, rows, unbiased)


def check_density(density: TimeDensity, schedules: Sequence[Schedule] | None = None) -> None:
    """Hold a density against its contracts on some schedules, the registered ones by default.

    Raises `AssertionError` with what broke and what was measured.
    """
    hold(DENSITY, *(OnSchedule(density, schedule) for schedule in schedules or registered()))
