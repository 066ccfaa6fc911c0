"""The grid that is fitted to a model, and the one that keeps what was found."""

import pytest
import torch

from diffkit.core.errors import DiffkitError
from diffkit.core.grid import Grid
from diffkit.core.sampler import Sampler, drive, prior
from diffkit.core.schedule import Schedule
from diffkit.standard.grids.levels import Flow
from diffkit.standard.grids.optimised import Optimised
from diffkit.standard.grids.tabulated import Tabulated
from diffkit.standard.samplers.abm import Abm
from diffkit.standard.schedules import Cosine, Edm
from diffkit.testing.oracle import Gaussian, denoiser

DATA = Gaussian.random(8)


def noise(rows: int, seed: int) -> torch.Tensor:
    return torch.randn(rows, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def error(grid: Grid, sampler: Sampler, schedule: Schedule) -> float:
    """The distance from the exact solution, of other samples than those of the fit."""
    times = grid(schedule)
    x = prior(schedule, times, noise(64, 1))
    start = tuple(c.item() for c in schedule(times[0]))
    exact = DATA.flow(x, start, (1.0, 0.0))
    *_, last = drive(sampler, denoiser(DATA, schedule), schedule, x, times, torch.zeros_like)
    return (last.x - exact).square().mean().sqrt().item()


def fit(grid: Optimised, sampler: Sampler, schedule: Schedule) -> Grid:
    x = prior(schedule, grid(schedule), noise(grid.rows, 0))
    return grid.fit(denoiser(DATA, schedule), schedule, sampler, x)


@pytest.mark.parametrize(("sampler", "gain"), [(Abm(order=2), 1.5), (Abm(), 5)], ids=["second", "third"])
def test_a_fitted_grid_is_nearer_to_the_exact_solution(sampler: Sampler, gain: float) -> None:
    grid = Optimised(8, knots=5, exact=80)
    before, after = error(grid, sampler, Cosine()), error(fit(grid, sampler, Cosine()), sampler, Cosine())
    assert after < before / gain


def test_the_same_levels_on_every_schedule() -> None:
    grid = Optimised(6, knots=3, exact=40, iterations=6)
    on = [schedule.logsnr(fit(grid, Abm(), schedule)(schedule)[:-1]) for schedule in (Cosine(), Edm(200.0))]
    torch.testing.assert_close(*on, rtol=0, atol=1e-3)


def test_before_the_fit_it_is_the_flow_grid_and_one_step_is_one_step() -> None:
    torch.testing.assert_close(Optimised(7)(Cosine()), Flow(7, logsnr_min=-9.0)(Cosine()))
    torch.testing.assert_close(fit(Optimised(1), Abm(), Cosine())(Cosine()), Optimised(1)(Cosine()))


def test_tabulated_levels_and_what_lies_between_them() -> None:
    schedule = Cosine()
    given = Tabulated((-4.0, 0.0, 6.0), 3)(schedule)
    torch.testing.assert_close(schedule.logsnr(given[:-1]), torch.tensor([-4.0, 0, 6]).double())
    more = Tabulated((-4.0, 0.0, 6.0), 5)(schedule)
    torch.testing.assert_close(schedule.logsnr(more[:-1]), torch.tensor([-4.0, -2, 0, 3, 6]).double())
    assert more[-1] == given[-1] == 0
    for wrong in ((), (1.0, 1.0), (2.0, 1.0)):
        with pytest.raises(DiffkitError, match=r"grid\.logsnr=.*rise"):
            Tabulated(wrong)(schedule)
