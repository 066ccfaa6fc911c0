"""Grids against their contract, and against the formulas in their papers."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from parts import SCHEDULES, every
from torch import Tensor

from diffkit.core.errors import DiffkitError
from diffkit.core.grid import Grid
from diffkit.core.schedule import Schedule
from diffkit.standard.grids import (
    Beta,
    Exponential,
    Flow,
    Karras,
    Leading,
    Linspace,
    LogSnr,
    Quadratic,
    Trailing,
    Uniform,
)
from diffkit.standard.schedules import Cosine, Edm, Flow as FlowSchedule, Linear, ZeroSnr
from diffkit.testing.contracts import check_grid

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


def exact(numbers: Any) -> Tensor:
    return torch.as_tensor(numbers, dtype=torch.float64)


@pytest.mark.parametrize("schedule", [Cosine(), Edm(80.0), FlowSchedule(), ZeroSnr()], ids=str)
@pytest.mark.parametrize("grid", every("grid"))
def test_contract(grid: Grid, schedule: Schedule) -> None:
    check_grid(grid, schedule)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
@pytest.mark.parametrize("grid", [Uniform(), Flow(), Trailing()], ids=str)
def test_contract_on_every_schedule(grid: Grid, schedule: Schedule) -> None:
    check_grid(grid, schedule)


@pytest.mark.parametrize("schedule", [FlowSchedule(3.0), Edm(1e6)], ids=str)
@pytest.mark.parametrize("grid", EXTREME, ids=str)
def test_contract_at_the_limits(grid: Grid, schedule: Schedule) -> None:
    check_grid(grid, schedule)


@pytest.mark.parametrize("schedule", [Cosine(), Edm(80.0)], ids=str)
@pytest.mark.parametrize("grid", every("grid"))
def test_on_a_chain(grid: Any, schedule: Schedule) -> None:
    """Multiples of 1 / T that fall strictly: each within half a step of the grid's own time where there is room."""
    check_grid(replace(grid, chain=150), schedule)
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


def test_uniform_is_uniform_in_time() -> None:
    torch.testing.assert_close(Uniform(4, -20.0)(Linear()), exact([1, 0.75, 0.5, 0.25, 0]))
    assert Cosine().logsnr(Uniform(4)(Cosine())[0]).item() == pytest.approx(-10)


@pytest.mark.parametrize(("steps", "chain"), [(10, 1000), (25, 1000), (7, 1000), (600, 1000), (999, 1000), (8, 50)])
def test_trailing_is_the_papers(steps: int, chain: int) -> None:
    """Lin et al. 2023, table 2: round(flip(arange(T, 0, -T / N))), in whole numbers here; t = 1 is always the first."""
    times = Trailing(steps, chain)(Linear())
    assert times[0].item() == 1
    far = [abs(round(t * chain) * steps - chain * (steps - k)) for k, t in enumerate(times.tolist())]
    assert max(far) * 2 <= steps  # within half a step of the chain
    assert (times * chain - (times * chain).round()).abs().max() < 1e-9


@pytest.mark.parametrize("steps", [1, 2, 10, 50, 250])
def test_leading_is_the_papers_where_steps_divide_the_chain(steps: int) -> None:
    """Lin et al. 2023, table 2: arange(1, T + 1, floor(T / N))."""
    times = exact(np.flip(np.arange(1, 1001, 1000 // steps)).copy()) / 1000
    torch.testing.assert_close(Leading(steps)(Linear())[:-1], times, rtol=0, atol=1e-15)


def test_leading_covers_the_chain_where_steps_do_not_divide_it() -> None:
    """floor(T / N) is 1 for 600 steps of 1000, which would leave out the noisiest 400."""
    times = Leading(600)(Linear())
    assert len(times) == 601
    assert times[0].item() == (1 + 599 * 1000 // 600) / 1000 == 0.999
    assert times[-2].item() == 0.001


@pytest.mark.parametrize("steps", [2, 10, 30, 999])
def test_linspace_is_the_papers(steps: int) -> None:
    """Lin et al. 2023, table 2: round(linspace(1, T, N))."""
    times = exact(np.flip(np.round(np.linspace(1, 1000, steps))).copy()) / 1000
    torch.testing.assert_close(Linspace(steps)(Linear())[:-1], times, rtol=0, atol=1e-15)


def test_a_single_linspace_step_goes_from_noise_to_data() -> None:
    assert Linspace(1)(Linear()).tolist() == [1, 0]


def test_quadratic_is_the_papers() -> None:
    """Song et al. 2021, appendix D.2: tau_i = c i^2, with the last near T."""
    torch.testing.assert_close(Quadratic(5, -20.0)(Linear()), exact([1, 16 / 25, 9 / 25, 4 / 25, 1 / 25, 0]))
    torch.testing.assert_close(
        Quadratic(10, -20.0, chain=1000)(Linear()), exact([10 * i * i for i in range(10, -1, -1)]) / 1000
    )


@pytest.mark.parametrize(("a", "b"), [(0.6, 0.6), (0.5, 2.0), (1.0, 1.0)])
def test_beta_is_the_papers(a: float, b: float) -> None:
    """The probability of a Beta(a, b) variable up to each time falls in equal steps."""
    times = Beta(7, a, b, -20.0)(Linear())
    torch.testing.assert_close(exact(scipy.stats.beta.cdf(times.numpy(), a, b)), exact(np.linspace(1, 0, 8)))


def test_beta_has_short_steps_at_both_ends() -> None:
    steps = -Beta(9)(Cosine()).diff()
    assert steps.argmax() == 4
    assert steps[0] < steps[4] / 2 and steps[-1] < steps[4] / 2


def test_logsnr_is_uniform_in_logsnr() -> None:
    schedule = Cosine()
    logsnr = schedule.logsnr(LogSnr(5, -8.0, 8.0)(schedule)[:-1])
    torch.testing.assert_close(logsnr, exact([-8, -4, 0, 4, 8]))


def levels(schedule: Schedule, times: Tensor) -> Tensor:
    alpha, sigma = schedule(times)
    return sigma / alpha


@pytest.mark.parametrize("rho", [0.5, 1.0, 2.0])
def test_exponential_is_k_diffusions_formula(rho: float) -> None:
    """log sigma_i = log min + (1 - i / (n - 1))^rho (log max - log min), and 0."""
    n, high, low = 9, 60.0, 0.02
    logs = [math.log(low) + (1 - i / (n - 1)) ** rho * math.log(high / low) for i in range(n)]
    times = Exponential(n, rho, -2 * math.log(high), -2 * math.log(low))(Edm(80.0))
    torch.testing.assert_close(levels(Edm(80.0), times), exact([*map(math.exp, logs), 0]))


def test_exponential_at_one_is_logsnr() -> None:
    torch.testing.assert_close(Exponential(9)(Cosine()), LogSnr(9)(Cosine()))


def test_karras_is_the_papers() -> None:
    """sigma_i = (max^(1/rho) + i/(n-1) (min^(1/rho) - max^(1/rho)))^rho, and 0; EDM's own numbers."""
    n, high, low, rho = 18, 80.0, 0.002, 7
    steps = [(high ** (1 / rho) + i / (n - 1) * (low ** (1 / rho) - high ** (1 / rho))) ** rho for i in range(n)]
    ends = (-2 * exact([high, low]).log()).tolist()
    times = Karras(n, 7.0, *ends)(Edm(80.0))
    torch.testing.assert_close(80 * times, exact([*steps, 0]))


@pytest.mark.parametrize("schedule", [Cosine(), Edm(80.0), FlowSchedule()], ids=str)
def test_flow_is_uniform_in_the_straight_paths_time(schedule: Schedule) -> None:
    """sigma / (alpha + sigma) falls in equal steps from 1 / (1 + exp(-4)), where the log-SNR is -8, to 0."""
    level = levels(schedule, Flow(10, logsnr_min=-8.0)(schedule))
    torch.testing.assert_close(level / (1 + level), exact(np.linspace(1 / (1 + math.exp(-4)), 0, 11)))


def test_a_shifted_flow_is_esser_et_al() -> None:
    """t' = shift t / (1 + (shift - 1) t): the times of the shifted schedule are those of the unshifted one."""
    u = exact(np.linspace(0.99, 0, 10))
    shifted = 3 * u / (1 + 2 * u)
    low = -2 * math.log(3 * 0.99 / 0.01)
    torch.testing.assert_close(Flow(9, 3.0, low)(FlowSchedule()), shifted)
    torch.testing.assert_close(Flow(9, 3.0, low)(FlowSchedule(3.0)), u)


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
