"""Every grid against its contract, on every schedule and at the limits."""

import pytest
from parts import SCHEDULES, every

from diffkit.core.errors import DiffkitError
from diffkit.core.grid import Grid
from diffkit.core.schedule import Schedule
from diffkit.standard.grids import (
    Beta,
    Exponential,
    Flow,
    Karras,
    LogSnr,
    Quadratic,
    Trailing,
    Uniform,
)
from diffkit.standard.schedules import Cosine, Edm, Flow as FlowSchedule, Linear, ZeroSnr
from diffkit.testing import check_grid

EXTREME = [
    Uniform(5, -20.0),
    LogSnr(5, -20.0, 20.0),
    Exponential(5, 3.0, -20.0, 20.0),
    Karras(5, 1.0, -20.0, 20.0),
    Karras(5, 0.5),
    Karras(5, 30.0),
    Flow(5, 0.1, -20.0),
    Flow(5, 20.0),
    Quadratic(5, -20.0),
    Beta(5, 0.3, 2.0, -20.0),
]


@pytest.mark.parametrize("schedule", [Cosine(), Edm(80.0), FlowSchedule(), ZeroSnr()], ids=str)
@pytest.mark.parametrize("grid", every("grid"))
def test_contract(grid: Grid, schedule: Schedule) -> None:
    check_grid(grid, [schedule])


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
@pytest.mark.parametrize("grid", [Uniform(), Flow(), Trailing()], ids=str)
def test_contract_on_every_schedule(grid: Grid, schedule: Schedule) -> None:
    check_grid(grid, [schedule])


@pytest.mark.parametrize("schedule", [FlowSchedule(3.0), Edm(1e6)], ids=str)
@pytest.mark.parametrize("grid", EXTREME, ids=str)
def test_contract_at_the_limits(grid: Grid, schedule: Schedule) -> None:
    check_grid(grid, [schedule])


STARTS = [LogSnr(10, -20.0, 9.0), Karras(10, 7.0, -20.0, 9.0), Exponential(10, 2.0, -20.0, 9.0), Flow(10, 1.0, -20.0)]


@pytest.mark.parametrize("grid", STARTS, ids=str)
def test_a_grid_starts_where_the_schedule_does(grid: Grid) -> None:
    """On a schedule that ends at log-SNR -10 the steps are spread from there, none wasted beyond its end."""
    times = grid(Linear())
    assert times[0] == 1
    assert times[1] < 1


@pytest.mark.parametrize("kind", [LogSnr, Karras, Exponential])
def test_an_empty_range_is_refused(kind: type[LogSnr] | type[Karras]) -> None:
    with pytest.raises(DiffkitError, match=r"logsnr_max is -10, which is not above -8\.76"):
        kind(5, logsnr_min=-12.0, logsnr_max=-10.0)(Edm(80.0))
