"""The contracts of a sampler and of a grid, and restarts against their definition."""

import math
from collections.abc import Sequence
from itertools import pairwise

import pytest
import torch
from torch import Tensor

import diffkit
from diffkit.core import Noise, Sampler, Schedule, State
from diffkit.testing import check_grid, check_sampler
from diffkit_restart.grid import Stops
from diffkit_restart.sampler import Restarts

FLOW: Schedule = diffkit.create("schedule", "flow")
HEUN: Sampler = diffkit.create("sampler", "heun")
STD, MEAN = 0.5, 0.7
"""Of normal data, whose denoiser is exact."""


def test_the_sampler_keeps_its_contracts() -> None:
    check_sampler(Restarts())


def test_the_grid_keeps_its_contracts() -> None:
    check_grid(Stops())


def denoise(x_t: Tensor, t: Tensor) -> Tensor:
    alpha, sigma = (c.item() for c in FLOW(t))
    gain = alpha * STD**2 / (alpha**2 * STD**2 + sigma**2)
    return MEAN + gain * (x_t - alpha * MEAN)


def walk(sampler: Sampler, times: Tensor, rows: int = 3) -> list[State]:
    alpha, sigma = FLOW(times[0])
    noise = Noise(0, range(rows))
    x = alpha * MEAN + (alpha**2 * STD**2 + sigma**2).sqrt() * noise(torch.zeros(rows, 2, dtype=torch.float64))
    return list(sampler.steps(denoise, FLOW, x, times, noise))


def levels(times: Tensor) -> Tensor:
    alpha, sigma = FLOW(times)
    return sigma / alpha


@pytest.mark.parametrize("intervals", [(), ((200.0, 300.0, 5),)], ids=["none", "beyond the grid"])
def test_without_an_interval_it_is_its_base(intervals: tuple[tuple[float, float, int], ...]) -> None:
    times = Stops(steps=12)(FLOW)
    for ours, base in zip(walk(Restarts(intervals=intervals), times), walk(HEUN, times), strict=True):
        assert (ours.step, ours.t) == (base.step, base.t)
        assert torch.equal(ours.x, base.x) and torch.equal(ours.x_0, base.x_0)


def test_the_published_algorithm() -> None:
    """Xu et al. 2023, algorithm 1, written with noise levels and Euler steps: down, and up and down twice and once."""
    intervals, grid = ((1.0, 3.0, 2), (0.1, 0.6, 1)), Stops(steps=14, levels=(3.0, 1.0, 0.6, 0.1))
    times = grid(FLOW)
    level = levels(times).tolist()
    noise = Noise(0, range(3))
    y = MEAN + math.hypot(STD, level[0]) * noise(torch.zeros(3, 2, dtype=torch.float64))

    def down(y: Tensor, way: Sequence[float]) -> Tensor:
        for high, low in pairwise(way):
            slope = (y - MEAN) * high / (STD**2 + high**2)  # dy / d level, of the exact denoiser
            y = y + (low - high) * slope
        return y

    def place(of: float) -> int:
        return min(range(len(level)), key=lambda i: abs(level[i] - of))

    start = 0
    for low, high, repeats in intervals:
        at, back = place(low), place(high)
        y = down(y, level[start : at + 1])
        for _ in range(repeats):
            y = y + math.sqrt(level[back] ** 2 - level[at] ** 2) * noise(y)
            y = down(y, level[back : at + 1])
        start = at
    wanted = down(y, level[start:])
    got = walk(Restarts(diffkit.create("sampler", "euler"), intervals), times)[-1].x
    torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-9)


def test_the_noise_makes_earlier_errors_shrink() -> None:
    """Two walks apart at the interval's beginning: its restarts bring them together by the factor of the exact flow.

    From level t to level s the flow of normal data multiplies a difference by sqrt((STD^2 + s^2) / (STD^2 + t^2)), in
    x / alpha; noise does not change it. So each restart multiplies it once more.
    """
    intervals, times = ((0.3, 3.0, 4),), Stops(steps=200, levels=(0.3, 3.0))(FLOW)
    factor = math.sqrt((STD**2 + 0.3**2) / (STD**2 + 3.0**2))
    apart = []
    for sampler in (HEUN, Restarts(intervals=intervals)):
        ends = []
        for shift in (0.0, 1.0):
            x = torch.full((1, 1), shift, dtype=torch.float64)
            ends.append([*sampler.steps(denoise, FLOW, x, times, Noise(0, [0]))][-1].x)
        apart.append((ends[1] - ends[0]).item())
    assert apart[1] / apart[0] == pytest.approx(factor**4, rel=5e-3)


def test_moments_are_those_of_the_data() -> None:
    x = walk(Restarts(), Stops(steps=40)(FLOW), rows=4000)[-1].x
    assert x.mean().item() == pytest.approx(MEAN, abs=3 * STD / math.sqrt(8000))
    assert x.std().item() == pytest.approx(STD, rel=0.025)


def test_calls_are_those_of_the_way_known_ahead() -> None:
    """Heun asks twice a step, and once in the one that ends at the data."""
    intervals, times = ((1.0, 3.0, 2), (0.1, 0.6, 3)), Stops(steps=20, levels=(3.0, 1.0, 0.6, 0.1))(FLOW)
    place = {level: int((levels(times[:-1]).log() - math.log(level)).abs().argmin()) for level in (3.0, 1.0, 0.6, 0.1)}
    again = 2 * (place[1.0] - place[3.0]) + 3 * (place[0.1] - place[0.6])
    asked = 0

    def counted(x_t: Tensor, t: Tensor) -> Tensor:
        nonlocal asked
        asked += 1
        return denoise(x_t, t)

    x = torch.zeros(1, 1, dtype=torch.float64)
    for sampler in (HEUN, Restarts(intervals=intervals)):
        before, asked = asked, 0
        assert len([*sampler.steps(counted, FLOW, x, times, Noise(0, [0]))]) == 20
    assert asked - before == 2 * again


def test_the_grid_stops_at_every_level() -> None:
    wanted = (20.0, 3.0, 0.9, 0.3, 0.25, 0.06)
    for name in ("flow", "cosine", "edm"):
        schedule = diffkit.create("schedule", name)
        alpha, sigma = schedule(Stops(steps=30, levels=wanted)(schedule))
        nearest = [((sigma / alpha) / level - 1).abs().min().item() for level in wanted]
        assert max(nearest) < 1e-9


@pytest.mark.parametrize("steps", range(1, 8))
def test_a_short_grid_does_without_some(steps: int) -> None:
    times = Stops(steps=steps, levels=(0.3, 0.301, 0.302, 2.0))(FLOW)
    assert len(times) == steps + 1 and bool((times.diff() < 0).all()) and times[-1] == 0


def test_an_interval_that_goes_nowhere_is_refused() -> None:
    with pytest.raises(diffkit.DiffkitError, match=r"\[0.3, 0.3, 1\] goes nowhere"):
        Restarts(intervals=((0.3, 0.3, 1),))
