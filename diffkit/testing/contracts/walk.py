"""Running a sampler on data for which everything is known exactly."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import pairwise
from math import pi

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core.noise import Noise
from diffkit.core.sampler import Sampler, State, draws_noise as sampler_draws_noise, drive
from diffkit.core.schedule import Schedule
from diffkit.core.variance import WithVariance
from diffkit.testing.oracle import Gaussian, Mixture, Oracle, denoiser

DIMENSION = 6
"""Of the normal data that a sampler's behaviour is tried on."""


@dataclass(frozen=True)
class Quarter(Schedule):
    r"""A quarter of a circle: $\alpha_t = \cos(\pi t / 2)$, $\sigma_t = \sin(\pi t / 2)$. It has every log-SNR."""

    def __call__(self, t: Float[Tensor, "*b"]) -> tuple[Float[Tensor, "*b"], Float[Tensor, "*b"]]:
        """See `Schedule`."""
        return (pi / 2 * (1 - t)).sin(), (pi / 2 * t).sin()  # a sine keeps its digits where alpha is small


@cache
def gaussian(dimension: int = 64) -> Gaussian:
    """Normal data of full covariance, always the same."""
    return Gaussian.random(dimension)


@cache
def mixture() -> Mixture:
    """Eight modes on a circle in the plane."""
    return Mixture.circle()


@lru_cache(maxsize=256)
def times_of(schedule: Schedule, steps: int, logsnr_min: float = -7.0, logsnr_max: float = 16.0) -> Float[Tensor, " n"]:
    """Times of equal steps in log-SNR, and the end: the same levels on every schedule."""
    logsnr = torch.linspace(logsnr_min, logsnr_max, steps, dtype=torch.float64)
    return torch.cat([schedule.time(logsnr), torch.zeros(1, dtype=torch.float64)])


@lru_cache(maxsize=256)
def uneven_times(schedule: Schedule, steps: int, logsnr_min: float, logsnr_max: float) -> Float[Tensor, " n"]:
    """Times that end `steps` steps in log-SNR, one in two of them half as long again, and the end.

    A method that takes neighbouring steps for equal loses its order here.
    """
    lengths = torch.ones(steps, dtype=torch.float64)
    lengths[1::2] = 1.5
    way = torch.cat([torch.zeros(1, dtype=torch.float64), lengths.cumsum(0)]) / lengths.sum()
    times = schedule.time(logsnr_min + (logsnr_max - logsnr_min) * way)
    return torch.cat([times, torch.zeros(1, dtype=torch.float64)])


@lru_cache(maxsize=256)
def from_noise(schedule: Schedule, steps: int) -> Float[Tensor, " n"]:
    """Times of equal steps in log-SNR from almost no signal to the data."""
    return times_of(schedule, steps, schedule.logsnr(torch.tensor(schedule.span()[1], dtype=torch.float64)).item())


def start(rows: int = 4, dimension: int = DIMENSION) -> Float[Tensor, "b d"]:
    """Standard normal noise, always the same."""
    return Noise(1, range(rows))(torch.empty(rows, dimension, dtype=torch.float64))


def ends(schedule: Schedule, t: float) -> tuple[float, float]:
    """`(alpha_t, sigma_t)` as numbers."""
    alpha, sigma = schedule(torch.tensor(t, dtype=torch.float64))
    return alpha.item(), sigma.item()


def run(
    sampler: Sampler,
    schedule: Schedule,
    times: Float[Tensor, " n"],
    x: Float[Tensor, "b d"],
    noise: Callable[[Tensor], Tensor] | None = None,
    oracle: Oracle | None = None,
) -> list[State]:
    """All states on an oracle's data (normal ones by default); `x` of unit variance is scaled to the first time."""
    alpha, sigma = ends(schedule, times[0].item())
    denoise = with_some_variance(denoiser(oracle or gaussian(x.shape[1]), schedule))
    scaled = x * (alpha**2 + sigma**2) ** 0.5
    return list(drive(sampler, denoise, schedule, scaled, times, noise or Noise(0, range(len(x)))))


def with_some_variance(denoise: Callable[[Tensor, Tensor], Tensor]) -> WithVariance:
    """The denoiser with a learned variance halfway between the small and the large one, for samplers that ask for it.

    Any choice between the two is right in the limit of many steps.
    """
    return WithVariance(lambda x, t: (denoise(x, t), torch.zeros_like(x)))


def draws_noise(sampler: Sampler) -> bool:
    """Whether the sampler ever asks for noise."""
    return sampler_draws_noise(sampler, Quarter(), times_of(Quarter(), 4))


def calls_by_step(sampler: Sampler, schedule: Schedule, times: Float[Tensor, " n"]) -> list[int]:
    """The denoiser's calls in each step, with a denoiser that costs nothing."""
    asked: list[Tensor] = []

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        asked.append(t)
        return torch.zeros_like(x)

    x = torch.ones(1, 1, dtype=torch.float64)
    states = drive(sampler, with_some_variance(denoise), schedule, x, times, torch.zeros_like)
    totals = [0, *(len(asked) for _ in states)]
    return [after - before for before, after in pairwise(totals)]


def common_range(schedules: Sequence[Schedule], low: float, high: float) -> tuple[float, float]:
    """The part of a range of log-SNR that every schedule has, with room to go back by 1 before its first time."""
    first = (schedule.logsnr(torch.ones((), dtype=torch.float64)).item() for schedule in schedules)
    return max(low, *(logsnr + 1 for logsnr in first)), high


@lru_cache(maxsize=256)
def solution(oracle: Gaussian | Mixture, schedule: Schedule, rows: int, t: float, s: float) -> Float[Tensor, "b d"]:
    """The exact solution of the probability flow at time s for what `run` begins with at t from `start(rows)`."""
    dimension = len(oracle.mean) if isinstance(oracle, Gaussian) else oracle.means.shape[1]
    (alpha, sigma), end = ends(schedule, t), ends(schedule, s)
    return oracle.flow((alpha**2 + sigma**2) ** 0.5 * start(rows, dimension), (alpha, sigma), end)
