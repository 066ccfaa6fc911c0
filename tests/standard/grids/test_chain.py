"""Grids on the steps of a discrete chain."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from parts import every
from standard.grids.exact import exact

from diffkit.core.errors import DiffkitError
from diffkit.core.grid import Grid
from diffkit.core.schedule import Schedule
from diffkit.standard.grids import (
    Karras,
    Leading,
    Linspace,
    LogSnr,
    Trailing,
    Uniform,
)
from diffkit.standard.schedules import Cosine, Edm, Linear, ZeroSnr
from diffkit.testing import check_grid


@pytest.mark.parametrize("schedule", [Cosine(), Edm(80.0)], ids=str)
@pytest.mark.parametrize("grid", every("grid"))
def test_on_a_chain(grid: Any, schedule: Schedule) -> None:
    """Multiples of 1 / T that fall strictly: each within half a step of the grid's own time where there is room."""
    check_grid(replace(grid, chain=150), [schedule])
    chained = replace(grid, steps=6, chain=400)(schedule)
    steps = (chained * 400).round()
    last = schedule.span()[1]
    torch.testing.assert_close(chained, (steps / 400).clamp(max=last), rtol=0, atol=1e-15)
    free = replace(grid, steps=6, chain=None if grid.chain is None else 400)(schedule)
    room = (free.diff().abs() > 1 / 400).all()
    assert not room or ((chained - free).abs() <= 0.5 / 400 + 1e-12).all()


def test_a_chain_takes_every_one_of_its_steps() -> None:
    for grid in (Uniform(40, chain=40), Karras(40, chain=40), LogSnr(40, chain=40), Trailing(40, 40), Leading(40, 40)):
        torch.testing.assert_close(grid(Linear()), torch.arange(40, -1, -1, dtype=torch.float64) / 40, rtol=0, atol=0)


def test_times_on_one_step_of_a_chain_part() -> None:
    """A Karras grid crowds near the data, where steps of a chain are wide: the later times take the next steps."""
    schedule = Edm(80.0)
    assert (Karras(8)(schedule) * 50).round().tolist() == [50, 23, 10, 4, 1, 0, 0, 0, 0]
    assert (Karras(8, chain=50)(schedule) * 50).tolist() == [50, 23, 10, 5, 4, 3, 2, 1, 0]


def test_a_chain_starts_where_all_signal_is_gone() -> None:
    """The step that is noise alone is asked for, at the log-SNR of -20 that the network knows it by."""
    schedule = ZeroSnr()
    times = Trailing(10)(schedule)
    assert schedule.logsnr(times[0]).item() == pytest.approx(-20, abs=1e-6)
    torch.testing.assert_close(times[1:], exact([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0]), rtol=0, atol=1e-15)


@pytest.mark.parametrize("grid", [Uniform(11, chain=10), Karras(11, chain=10), Trailing(11, 10), Linspace(11, 10)])
def test_more_steps_than_the_chain_has_are_refused(grid: Grid) -> None:
    with pytest.raises(DiffkitError, match=r"asks for 11 steps on a chain of 10; set grid\.steps to at most 10"):
        grid(Linear())


def test_steps_that_the_schedule_has_no_use_for_do_not_count() -> None:
    """Edm's level of 2.2e4 is where the log-SNR is -20: 3 of 100 steps up to 1e6, the third at the limit."""
    assert len(Trailing(3, 100)(Edm(1e6))) == 4
    with pytest.raises(DiffkitError, match=r"4 steps on a chain of 100, 3 of them before the log-SNR of Edm"):
        Trailing(4, 100)(Edm(1e6))
