"""A sampler's error for what it costs: against the exact solution, at given numbers of network calls on one grid."""

from functools import lru_cache

from jaxtyping import Float
from torch import Tensor

from diffkit.compose.build import create
from diffkit.core.grid import Grid
from diffkit.core.sampler import Sampler
from diffkit.testing.contracts.moments import moments
from diffkit.testing.contracts.walk import Quarter, calls_by_step, gaussian, run, solution, start
from diffkit.testing.oracle import Gaussian, Mixture

GRID = {"logsnr_min": -8.8, "logsnr_max": 12.4}
"""Of the `karras` grid that all samplers are compared on: EDM's, with noise levels from 80 to 0.002 of the data's."""
CALLS = (10, 20, 50)
FEW = (1, 2)
ROWS = 64


def steps_within(sampler: Sampler, calls: int) -> int | None:
    """The largest number of steps that asks the network at most `calls` times; None if even one step asks more."""
    steps = max(1, calls // (sampler.calls_per_step or 1))
    while steps and _calls(sampler, steps) > calls:
        steps -= 1
    while steps and _calls(sampler, steps + 1) <= calls:
        steps += 1
    return steps or None


def _calls(sampler: Sampler, steps: int) -> int:
    return sum(calls_by_step(sampler, Quarter(), times(steps)))


@lru_cache(maxsize=256)
def times(steps: int) -> Float[Tensor, " n"]:
    """The times of the shared grid, on a schedule that has every log-SNR."""
    grid: Grid = create("grid", "karras", steps=steps, **GRID)
    return grid(Quarter())


def flow_error(sampler: Sampler, oracle: Gaussian | Mixture, steps: int) -> float:
    """The distance of the samples from the exact solution at t = 0, in units of the data's spread.

    The root of the mean square over the rows; the median on the mixture, where a few rows between two modes would
    stand for all.
    """
    grid = times(steps)
    exact = solution(oracle, Quarter(), ROWS, grid[0].item(), 0.0)
    x = run(sampler, Quarter(), grid, start(ROWS, exact.shape[1]), oracle=oracle)[-1].x
    square = (x - exact).square().mean(1)
    return (square.median() if isinstance(oracle, Mixture) else square.mean()).sqrt().item() / oracle.spread


def moment_error(sampler: Sampler, steps: int) -> float:
    """The relative error of the samples' total variance, of the Gaussian's, at t = 0; negative: too narrow."""
    return moments(sampler, Quarter(), times(steps), gaussian()).variance.value
