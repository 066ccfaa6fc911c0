"""The contract of samplers: how they behave on every schedule, and that their error falls as they declare."""

from collections.abc import Sequence

import torch

from diffkit.core.noise import Noise
from diffkit.core.sampler import Sampler, State, drive
from diffkit.core.schedule import Schedule
from diffkit.testing.contracts.convergence import allowance, check_convergence, convergence
from diffkit.testing.contracts.require import require, require_close
from diffkit.testing.contracts.walk import (
    calls_by_step,
    common_range,
    ends,
    from_noise,
    gaussian,
    run,
    start,
    times_of,
    with_some_variance,
)
from diffkit.testing.oracle import denoiser

STEPS = (1, 2, 5)
"""The numbers of steps that a sampler is tried with from almost no signal to the data."""


def check_sampler(sampler: Sampler, schedules: Sequence[Schedule]) -> None:
    """Works to the end with few steps, rows apart, the same on every schedule, and converges in its declared order."""
    check_behaviour(sampler, schedules)
    check_convergence(sampler, convergence(sampler))


def check_behaviour(sampler: Sampler, schedules: Sequence[Schedule]) -> None:
    """Everything but the order: few steps, calls, rows apart, the same samples on every schedule."""
    for schedule in schedules:
        for steps in STEPS:
            check_ends(sampler, schedule, steps)
    check_calls(sampler, schedules[0])
    check_rows(sampler, schedules[0])
    check_equivariance(sampler, schedules)


def check_ends(sampler: Sampler, schedule: Schedule, steps: int) -> None:
    """One state a step at the grid's times, finite, from almost no signal to the data; nothing is written into."""
    times, at = from_noise(schedule, steps), f"with {steps} steps on {schedule}"
    alpha, sigma = ends(schedule, times[0].item())
    x = (alpha**2 + sigma**2) ** 0.5 * start()
    before, seen = x.clone(), list[tuple[State, torch.Tensor]]()
    denoise = with_some_variance(denoiser(gaussian(x.shape[1]), schedule))
    for state in drive(sampler, denoise, schedule, x, times, Noise(0, range(len(x)))):
        seen.append((state, state.x.clone()))
    states = [state for state, _ in seen]
    require([s.step for s in states] == list(range(1, steps + 1)), sampler, f"{len(states)} states {at}")
    require([s.t for s in states] == times[1:].tolist(), sampler, f"stops at {[s.t for s in states]} {at}")
    require(all(bool(torch.isfinite(s.x).all()) for s in states), sampler, f"is not finite {at}")
    require(bool((x == before).all()), sampler, f"writes into x {at}")
    require(all(bool((s.x == kept).all()) for s, kept in seen), sampler, f"writes into a yielded state {at}")


def check_calls(sampler: Sampler, schedule: Schedule) -> None:
    """Asks at least once a step, never more often than `calls_per_step`, and in some step just as often."""
    declared, most = sampler.calls_per_step, 0
    for steps in (*STEPS, 12):
        made = calls_by_step(sampler, schedule, times_of(schedule, steps))
        require(min(made) >= 1, sampler, f"makes no call in step {made.index(min(made)) + 1} of {steps}")
        most = max(most, *made)
    require(declared in (None, most), sampler, f"makes {most} calls in a step, declared {declared}")


def check_rows(sampler: Sampler, schedule: Schedule) -> None:
    """A sample is the same in any batch, with the noise of its id.

    Up to a log-SNR of 4 before the last step: nearer to the data a score, a small difference of x and x_0, would blow
    up the rounding in which the oracle's own answers differ between batches.
    """
    times, x = times_of(schedule, 5, logsnr_max=4.0), start()
    together = run(sampler, schedule, times, x, Noise(0, [0, 1, 2, 3]))[-1].x
    apart = run(sampler, schedule, times, x[2:], Noise(0, [2, 3]))[-1].x
    require_close(sampler, "a sample in another batch", apart, together[2:], max(1e-12, allowance(sampler)))


def check_equivariance(sampler: Sampler, schedules: Sequence[Schedule]) -> None:
    """The same log-SNRs give the same samples on every schedule: a sampler knows alpha and sigma, and no more."""
    low, high = common_range(schedules, -7.0, 16.0)
    first, *others = [(s, run(sampler, s, times_of(s, 10, low, high), start())[-1].x) for s in schedules]
    for schedule, x in others:
        what = f"the sample on {schedule}, against {first[0]},"
        require_close(sampler, what, x, first[1], max(1e-6, allowance(sampler)))
