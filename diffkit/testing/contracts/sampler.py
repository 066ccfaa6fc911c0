"""The contract of samplers, measured on normal data, for which everything is known exactly."""

from collections.abc import Callable, Sequence
from math import log

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core.noise import Noise
from diffkit.core.sampler import Sampler, State, calls, drive
from diffkit.core.schedule import Schedule
from diffkit.testing.contracts.require import require, require_close
from diffkit.testing.oracle import Gaussian, denoiser

DIMENSION = 6


def times_of(schedule: Schedule, steps: int, logsnr_min: float = -7.0, logsnr_max: float = 16.0) -> Float[Tensor, " n"]:
    """Times of equal steps in log-SNR, and the end: the same levels on every schedule."""
    logsnr = torch.linspace(logsnr_min, logsnr_max, steps, dtype=torch.float64)
    return torch.cat([schedule.time(logsnr), torch.zeros(1, dtype=torch.float64)])


def run(
    sampler: Sampler, schedule: Schedule, times: Tensor, x: Tensor, noise: Callable[[Tensor], Tensor] | None = None
) -> list[State]:
    """All states on normal data; `x` of unit variance is scaled to the first time."""
    alpha, sigma = (c.item() for c in schedule(times[0]))
    denoise = denoiser(Gaussian.random(DIMENSION), schedule)
    scaled = x * (alpha**2 + sigma**2) ** 0.5
    return list(drive(sampler, denoise, schedule, scaled, times, noise or Noise(0, range(len(x)))))


def start(rows: int = 4) -> Float[Tensor, "b d"]:
    """Standard normal noise, always the same."""
    return Noise(1, range(rows))(torch.empty(rows, DIMENSION, dtype=torch.float64))


def is_deterministic(sampler: Sampler, schedule: Schedule) -> bool:
    """Whether the sampler never asks for noise."""
    asked = []

    def noise(x: Tensor) -> Tensor:
        asked.append(x)
        return torch.zeros_like(x)

    run(sampler, schedule, times_of(schedule, 4), start(), noise)
    return not asked


def check_sampler(sampler: Sampler, schedules: Sequence[Schedule]) -> None:
    """Works to the end with few steps, rows apart, the same on every schedule, and converges in its declared order."""
    for schedule in schedules:
        check_ends(sampler, schedule)
    check_rows(sampler, schedules[0])
    check_equivariance(sampler, schedules)
    observed = observed_order(sampler, schedules[0])
    require(observed > sampler.order - 0.15, sampler, f"order {observed:.2f}, declared {sampler.order}")


def check_ends(sampler: Sampler, schedule: Schedule) -> None:
    """One state a step at the grid's times, finite at 1, 2 and 5 steps from almost no signal; nothing written into."""
    for steps in (1, 2, 5):
        times = times_of(schedule, steps, schedule.logsnr(torch.tensor(schedule.span()[1], dtype=torch.float64)).item())
        alpha, sigma = schedule(times[0])
        x, at = (alpha.square() + sigma.square()).sqrt() * start(), f"with {steps} steps on {schedule}"
        before = x.clone()
        seen: list[tuple[State, Tensor]] = []
        denoise = denoiser(Gaussian.random(DIMENSION), schedule)
        for state in drive(sampler, denoise, schedule, x, times, Noise(0, range(len(x)))):
            seen.append((state, state.x.clone()))
        states = [state for state, _ in seen]
        require([s.step for s in states] == list(range(1, steps + 1)), sampler, f"{len(states)} states {at}")
        require([s.t for s in states] == times[1:].tolist(), sampler, f"stops at {[s.t for s in states]} {at}")
        require(all(bool(torch.isfinite(s.x).all()) for s in states), sampler, f"is not finite {at}")
        require(bool((x == before).all()), sampler, f"writes into x {at}")
        require(all(bool((s.x == kept).all()) for s, kept in seen), sampler, f"writes into a yielded state {at}")
        require(calls(sampler, schedule, times) >= steps, sampler, f"asks too seldom {at}")


def check_rows(sampler: Sampler, schedule: Schedule) -> None:
    """A sample is the same in any batch, with the noise of its id."""
    times, x = times_of(schedule, 5), start()
    together = run(sampler, schedule, times, x, Noise(0, [0, 1, 2, 3]))[-1].x
    apart = run(sampler, schedule, times, x[2:], Noise(0, [2, 3]))[-1].x
    require_close(sampler, "a sample in another batch", apart, together[2:], 1e-12)


def check_equivariance(sampler: Sampler, schedules: Sequence[Schedule]) -> None:
    """The same log-SNRs give the same samples on every schedule: a sampler knows alpha and sigma, and no more."""
    first, *others = [(s, run(sampler, s, times_of(s, 10), start())[-1].x) for s in schedules]
    for schedule, x in others:
        require_close(sampler, f"the sample on {schedule}, against {first[0]},", x, first[1], 1e-6)


def observed_order(sampler: Sampler, schedule: Schedule, steps: Sequence[int] = (40, 80, 160)) -> float:
    """How fast the error falls with the number of steps: of the solution, or of the distribution where it draws noise.

    Infinite where there is no error left to fall.
    """
    error = flow_error if is_deterministic(sampler, schedule) else distribution_error
    first, last = error(sampler, schedule, steps[0]), error(sampler, schedule, steps[-1])
    return float("inf") if last < 1e-9 else log(first / last) / log(steps[-1] / steps[0])


def flow_error(sampler: Sampler, schedule: Schedule, steps: int) -> float:
    """The distance from the exact solution of the probability-flow ODE (root mean square)."""
    times, x = times_of(schedule, steps), start(16)
    (alpha, sigma), ends = schedule(times[[0, -1]]), run(sampler, schedule, times, x)[-1].x
    scaled = x * (alpha[0] ** 2 + sigma[0] ** 2).sqrt()
    exact = Gaussian.random(DIMENSION).flow(scaled, (alpha[0].item(), sigma[0].item()), (1.0, 0.0))
    return (ends - exact).square().mean().sqrt().item()


def distribution_error(sampler: Sampler, schedule: Schedule, steps: int) -> float:
    """The distance of the samples' mean and covariance from the data's, from the exact distribution at the start."""
    gaussian, times = Gaussian.random(DIMENSION), times_of(schedule, steps)
    mean, covariance = moments(sampler, schedule, times)
    return max((mean - gaussian.mean).abs().max().item(), (covariance - gaussian.covariance).abs().max().item())


def moments(
    sampler: Sampler, schedule: Schedule, times: Float[Tensor, " n"]
) -> tuple[Float[Tensor, " d"], Float[Tensor, "d d"]]:
    """The exact mean and covariance of a linear sampler's samples of normal data, without drawing any.

    On normal data a sample is linear in x and in every number drawn, so a row that has a single one of them
    gives that one's share: the covariance is the sum of the shares' squares.
    """
    gaussian = Gaussian.random(DIMENSION)
    alpha, sigma = (c.item() for c in schedule(times[0]))
    drawn = 0

    def count(x: Tensor) -> Tensor:
        nonlocal drawn
        drawn += 1
        return torch.zeros_like(x)

    run(sampler, schedule, times, start(), count)
    root = gaussian.basis * (alpha**2 * gaussian.variances + sigma**2).sqrt()
    x = torch.zeros(1 + DIMENSION * (1 + drawn), DIMENSION, dtype=torch.float64)
    x[1 : 1 + DIMENSION] = root.T
    x += alpha * gaussian.mean
    unit = iter(range(1, 1 + drawn))

    def one(x: Tensor) -> Tensor:
        noise, row = torch.zeros_like(x), 1 + DIMENSION * next(unit)
        noise[row : row + DIMENSION] = torch.eye(DIMENSION, dtype=x.dtype)
        return noise

    out = run(sampler, schedule, times, x / (alpha**2 + sigma**2) ** 0.5, one)[-1].x
    shares = out[1:] - out[0]
    return out[0], shares.T @ shares
