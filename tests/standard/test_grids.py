"""Grids against their contract, and against the formulas in their papers."""

import pytest
import torch
from parts import SCHEDULES, every

from diffkit.core.errors import DiffkitError
from diffkit.core.grid import Grid
from diffkit.core.schedule import Schedule
from diffkit.standard.grids import Karras, LogSnr, Uniform
from diffkit.standard.schedules import Cosine, Edm, Flow, Linear
from diffkit.testing.contracts import check_grid

OTHERS = [Uniform(5, -20.0), LogSnr(5, -20.0, 20.0), Karras(5, 1.0, -20.0, 20.0), Karras(5, 0.5), Karras(5, 30.0)]


@pytest.mark.parametrize("schedule", [*SCHEDULES, Flow(3.0), Edm(1e6)], ids=str)
@pytest.mark.parametrize("grid", [*every("grid"), *OTHERS])
def test_contract(grid: Grid, schedule: Schedule) -> None:
    check_grid(grid, schedule)


def test_uniform_is_uniform_in_time() -> None:
    torch.testing.assert_close(Uniform(4, -20.0)(Linear()), torch.tensor([1, 0.75, 0.5, 0.25, 0], dtype=torch.float64))
    assert Cosine().logsnr(Uniform(4)(Cosine())[0]).item() == pytest.approx(-10)


def test_logsnr_is_uniform_in_logsnr() -> None:
    schedule = Cosine()
    logsnr = schedule.logsnr(LogSnr(5, -8.0, 8.0)(schedule)[:-1])
    torch.testing.assert_close(logsnr, torch.tensor([-8, -4, 0, 4, 8], dtype=torch.float64))


def test_karras_is_the_papers() -> None:
    """sigma_i = (max^(1/rho) + i/(n-1) (min^(1/rho) - max^(1/rho)))^rho, and 0; EDM's own numbers."""
    n, high, low, rho = 18, 80.0, 0.002, 7
    levels = [(high ** (1 / rho) + i / (n - 1) * (low ** (1 / rho) - high ** (1 / rho))) ** rho for i in range(n)]
    ends = (-2 * torch.tensor([high, low], dtype=torch.float64).log()).tolist()
    times = Karras(n, 7.0, *ends)(Edm(80.0))
    torch.testing.assert_close(80 * times, torch.tensor([*levels, 0.0], dtype=torch.float64))


@pytest.mark.parametrize("grid", [LogSnr(10, -20.0, 9.0), Karras(10, 7.0, -20.0, 9.0)], ids=str)
def test_a_grid_starts_where_the_schedule_does(grid: Grid) -> None:
    """On a schedule that ends at log-SNR -10 the steps are spread from there, none wasted beyond its end."""
    times = grid(Linear())
    assert times[0] == 1
    assert times[1] < 1


@pytest.mark.parametrize("kind", [LogSnr, Karras])
def test_an_empty_range_is_refused(kind: type[LogSnr] | type[Karras]) -> None:
    with pytest.raises(DiffkitError, match=r"logsnr_max is -10, which is not above -8\.76"):
        kind(5, logsnr_min=-12.0, logsnr_max=-10.0)(Edm(80.0))
