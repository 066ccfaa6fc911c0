"""One problem for both sides: data with an exact denoiser, a start and its times; and the way that a sampler takes."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from diffkit.core.grid import Grid
from diffkit.core.noise import Noise
from diffkit.core.sampler import Sampler, drive
from diffkit.core.schedule import Schedule
from diffkit.standard.grids import Karras
from diffkit.standard.schedules import Cosine
from diffkit.testing.oracle import Mixture, denoiser

ORACLE = Mixture.circle()
ROWS = 8


@dataclass(frozen=True)
class Problem:
    """Everything is compared as x / alpha at the noise levels sigma / alpha: in the peers' words, VE."""

    schedule: Schedule
    times: Tensor
    x: Tensor
    """The start, divided by its alpha."""
    levels: Tensor
    alphas: Tensor
    """On a variance-preserving path."""

    @classmethod
    def of(cls, grid: Grid | None = None, schedule: Schedule | None = None) -> "Problem":
        schedule = schedule or Cosine()
        times = (grid or Karras(12))(schedule)
        alpha, sigma = schedule(times)
        levels = sigma / alpha
        start = torch.randn(ROWS, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        return cls(schedule, times, start * levels[0], levels, (1 + levels.square()).rsqrt())

    @property
    def steps(self) -> int:
        return len(self.times) - 1

    def path(self, sampler: Sampler) -> Tensor:
        """x / alpha after each of our steps: (steps, b, 2)."""
        alpha = self.schedule(self.times)[0]
        states = drive(
            sampler, denoiser(ORACLE, self.schedule), self.schedule, self.x * alpha[0], self.times,
            Noise(0, range(ROWS)),
        )  # fmt: skip
        return torch.stack([state.x / alpha[state.step] for state in states])

    def noises(self) -> Callable[..., Tensor]:
        """The noise that `path` draws, one call after the other, whatever the arguments; 99 of them."""
        noise, like = Noise(0, range(ROWS)), torch.empty(ROWS, 2, dtype=torch.float64)
        drawn = iter([noise(like) for _ in range(99)])
        return lambda *args, **names: next(drawn)


def denoise(x: Tensor, level: float | Tensor) -> Tensor:
    """The mean of the data given x / alpha."""
    return ORACLE.x_0(x, 1.0, float(level))


def eps(x: Tensor, level: float | Tensor) -> Tensor:
    return (x - denoise(x, level)) / float(level)


def agree(theirs: Tensor, ours: Tensor, atol: float = 1e-9) -> None:
    torch.testing.assert_close(theirs, ours, rtol=0, atol=atol)
