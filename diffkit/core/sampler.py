"""Samplers: from noise to data in a few calls of a denoiser, and the one driver that runs them."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core.schedule import Schedule
from diffkit.core.variance import WithVariance

Denoiser = Callable[[Tensor, Tensor], Tensor]
"""`(x_t, t) -> x_0`, for `t` of shape (), under one condition."""
Draw = Callable[[Tensor], Tensor]
"""The next standard normal noise like x, a new tensor."""
Rows = Float[Tensor, " b *d"]
"""States of b samples."""
Times = Float[Tensor, " n"]
"""Falling times in float64, (n,)."""


@dataclass(frozen=True)
class State:
    """Where a sampler is after one step."""

    step: int
    """The number of steps made, from 1."""
    t: float
    """The time that `x` belongs to."""
    x: Tensor
    """x_t, (b, *shape)."""
    x_0: Tensor
    """The denoiser's answer in this step, (b, *shape)."""


class Sampler(ABC):
    """Walks a grid of times from noise to data. A frozen dataclass that keeps nothing between calls.

    `order` and `calls_per_step` may be properties that depend on its hyperparameters. In the last step sigma_s is
    exactly 0: a method that would ask the denoiser there, or take its logarithm, makes a step of first order instead;
    the order is measured before it.
    """

    calls_per_step: int | None = 1
    """The denoiser's calls in one step, at most; None where they depend on the data or on the grid."""

    @property
    @abstractmethod
    def order(self) -> int:
        """The order of convergence: of the solution; of the samples' moments where it draws noise (the weak order)."""

    @abstractmethod
    def steps(self, denoise: Denoiser, schedule: Schedule, x: Rows, times: Times, noise: Draw) -> Iterator[State]:
        """Yield a state for each pair of neighbouring times; the last one's `x` is the sample.

        `denoise(x_t, t)` gives x_0 for `t` of shape (); `times` fall and end at 0, where sigma is 0; `noise(x)` gives
        the next standard normal noise like `x`, a new tensor that may be written into; `x` is not.
        """


def prior(schedule: Schedule, times: Float[Tensor, " n"], noise: Float[Tensor, " b *d"]) -> Float[Tensor, " b *d"]:
    """The state at the grid's first time, from standard normal noise, for data of zero mean and unit variance.

    Where the grid starts with some signal left, its variance is that of x_t, so that nothing is missing.
    """
    alpha, sigma = schedule(times[0])
    return (alpha.square() + sigma.square()).sqrt() * noise


def calls(sampler: Sampler, schedule: Schedule, times: Float[Tensor, " n"], variance: bool = True) -> int:
    """The number of denoiser calls on this grid, found by walking it with a denoiser that costs nothing.

    `variance` says whether the denoiser gives it: raises `DiffkitError` where it does not, and the sampler asks for it.
    """
    return _rehearse(sampler, schedule, times, variance)[0]


def draws_noise(sampler: Sampler, schedule: Schedule, times: Float[Tensor, " n"]) -> bool:
    """Whether the sampler asks for noise on this grid, found as `calls` does."""
    return _rehearse(sampler, schedule, times, True)[1] > 0


def _rehearse(sampler: Sampler, schedule: Schedule, times: Tensor, variance: bool) -> tuple[int, int]:
    """How often the denoiser and the noise are asked."""
    asked = drawn = 0

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        nonlocal asked
        asked += 1
        return torch.zeros_like(x)

    def noise(x: Tensor) -> Tensor:
        nonlocal drawn
        drawn += 1
        return torch.zeros_like(x)

    given = WithVariance(lambda x, t: (denoise(x, t), torch.zeros_like(x))) if variance else denoise
    for _ in drive(sampler, given, schedule, torch.ones(1, 1), times, noise):
        pass
    return asked, drawn


def drive(
    sampler: Sampler,
    denoise: Denoiser,
    schedule: Schedule,
    x: Float[Tensor, " b *d"],
    times: Float[Tensor, " n"],
    noise: Draw,
) -> Iterator[State]:
    """Run a sampler without gradients, a state at a time; stop early by leaving the loop."""
    states = sampler.steps(denoise, schedule, x, times, noise)
    while True:
        with torch.no_grad():
            state = next(states, None)
        if state is None:
            return
        yield state
