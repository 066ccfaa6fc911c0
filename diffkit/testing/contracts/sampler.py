"""Contracts of samplers: how they behave on every schedule, and that their error falls as they declare."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from diffkit.core.noise import Noise
from diffkit.core.sampler import Sampler, State, drive
from diffkit.core.schedule import Schedule
from diffkit.testing.contracts.convergence import Convergence, allowance, check_moments, check_order, convergence
from diffkit.testing.contracts.hold import hold, table
from diffkit.testing.contracts.require import require, require_close
from diffkit.testing.contracts.value import check_value
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
from diffkit.testing.given import schedules as registered, seeded
from diffkit.testing.oracle import denoiser

STEPS = (1, 2, 5)
"""The numbers of steps that a sampler is tried with from almost no signal to the data."""


@dataclass(frozen=True)
class OnSchedules:
    """A sampler and the schedules that it is tried on."""

    sampler: Sampler
    schedules: Sequence[Schedule]

    @cached_property
    def convergence(self) -> Convergence:
        """How its error falls; measured once."""
        return convergence(self.sampler)

    @cached_property
    def walks(self) -> list["Walk"]:
        """From almost no signal to the data, on each schedule."""
        return [walk(self.sampler, schedule, steps) for schedule in self.schedules for steps in STEPS]


@dataclass(frozen=True)
class Walk:
    """Some steps on normal data, from x at the first time, as it was before."""

    schedule: Schedule
    times: Tensor
    x: Tensor
    states: Sequence[State]
    kept: Sequence[Tensor]
    """The x of each state, when it was yielded."""
    wrote: Sequence[str]
    """What was written into beside the states."""

    def __str__(self) -> str:
        return f"with {len(self.times) - 1} steps on {self.schedule}"


def walk(sampler: Sampler, schedule: Schedule, steps: int, dtype: torch.dtype = torch.float64) -> Walk:
    """Steps of equal length in log-SNR from almost no signal, and the last to the data."""
    before = from_noise(schedule, steps)
    alpha, sigma = ends(schedule, before[0].item())
    x = ((alpha**2 + sigma**2) ** 0.5 * start()).to(dtype)
    given, times = x.clone(), before.clone()
    denoise = with_some_variance(denoiser(gaussian(x.shape[1]), schedule))
    found = [(s, s.x.clone()) for s in drive(sampler, denoise, schedule, given, times, Noise(0, range(len(x))))]
    wrote = [name for name, a, b in (("x", given, x), ("the times", times, before)) if not bool((a == b).all())]
    return Walk(schedule, before, x, [state for state, _ in found], [kept for _, kept in found], wrote)


def value(case: OnSchedules) -> None:
    """A sampler is a frozen dataclass of plain values, equal to a copy of itself."""
    check_value(case.sampler)


def states(case: OnSchedules) -> None:
    """It yields one state a step, numbered from 1, each at the grid's next time, and the last at t = 0."""
    for walk in case.walks:
        numbers, times = [s.step for s in walk.states], walk.times[1:].tolist()
        wanted = list(range(1, len(times) + 1))
        require(numbers == wanted, case.sampler, f"yields states of steps {numbers}, not {wanted}, {walk}")
        for state, t in zip(walk.states, times, strict=True):
            said = f"stops at t = {state.t:.6g} after step {state.step}, where the grid has {t:.6g}, {walk}"
            require(state.t == t, case.sampler, said)


def finite(case: OnSchedules) -> None:
    """Samples are finite, and of the shape of x, with 1, 2 and 5 steps from almost no signal."""
    for walk in case.walks:
        for state, x in zip(walk.states, walk.kept, strict=True):
            shapes = tuple(x.shape), tuple(walk.x.shape)
            require(shapes[0] == shapes[1], case.sampler, f"x becomes of shape {shapes[0]}, from {shapes[1]}, {walk}")
            lost = int((~x.isfinite()).sum())
            require(
                not lost, case.sampler, f"is not finite in {lost} of {x.numel()} values of step {state.step} {walk}"
            )


def dtype(case: OnSchedules) -> None:
    """Samples have the dtype of x: float64 is for the schedule's numbers alone."""
    for wanted in (torch.float32, torch.float64):
        found = walk(case.sampler, case.schedules[0], 3, wanted)
        for state, x in zip(found.states, found.kept, strict=True):
            said = f"x becomes {x.dtype} in step {state.step}, and began as {wanted}, {found}"
            require(x.dtype == wanted, case.sampler, said)


def untouched(case: OnSchedules) -> None:
    """Neither x, nor the times, nor a state that was yielded is written into."""
    for walk in case.walks:
        require(not walk.wrote, case.sampler, f"writes into {' and '.join(walk.wrote)} {walk}")
        wrong = [s.step for s, kept in zip(walk.states, walk.kept, strict=True) if not bool((s.x == kept).all())]
        require(not wrong, case.sampler, f"writes into the states that it yielded in steps {wrong} {walk}")


def repeats(case: OnSchedules) -> None:
    """The same x and the same noise give the same samples to the last bit: nothing else is drawn, nothing is kept."""
    schedule = case.schedules[0]
    times, x = times_of(schedule, 5), start()
    first = run(case.sampler, schedule, times, x)[-1].x
    with seeded(1):
        again = run(case.sampler, schedule, times, x)[-1].x
    require_close(case.sampler, f"the same sample, drawn again with the same noise on {schedule},", again, first, 0.0)


def calls(case: OnSchedules) -> None:
    """It asks the denoiser at least once in each step, and at most `calls_per_step` times, which some step reaches."""
    sampler, schedule = case.sampler, case.schedules[0]
    declared, most = sampler.calls_per_step, 0
    for steps in (*STEPS, 12):
        made = calls_by_step(sampler, schedule, times_of(schedule, steps))
        require(min(made) >= 1, sampler, f"makes no call in step {made.index(min(made)) + 1} of {steps}")
        most = max(most, *made)
    require(declared in (None, most), sampler, f"makes {most} calls in a step, declared {declared} (calls_per_step)")


def rows(case: OnSchedules) -> None:
    """A sample is the same in any batch, with the noise of its id."""
    # up to a log-SNR of 4 before the last step: nearer to the data a score, a small difference of x and x_0, would blow
    # up the rounding in which the oracle's own answers differ between batches
    schedule = case.schedules[0]
    times, x = times_of(schedule, 5, logsnr_max=4.0), start()
    together = run(case.sampler, schedule, times, x, Noise(0, [0, 1, 2, 3]))[-1].x
    apart = run(case.sampler, schedule, times, x[2:], Noise(0, [2, 3]))[-1].x
    what = f"a sample in another batch, with 5 steps on {schedule},"
    require_close(case.sampler, what, apart, together[2:], max(1e-12, allowance(case.sampler)))


def equivariance(case: OnSchedules) -> None:
    """The same log-SNRs give the same samples on every schedule: a sampler knows alpha and sigma, and no more."""
    low, high = common_range(case.schedules, -7.0, 16.0)
    first, *others = [(s, run(case.sampler, s, times_of(s, 10, low, high), start())[-1].x) for s in case.schedules]
    for schedule, x in others:
        what = f"the sample on {schedule}, against it on {first[0]} with the same 10 log-SNRs,"
        require_close(case.sampler, what, x, first[1], max(1e-6, allowance(case.sampler)))


def order(case: OnSchedules) -> None:
    """Its error falls with the number of steps as its declared order says, against exact solutions."""
    check_order(case.sampler, case.convergence)


def moments(case: OnSchedules) -> None:
    """Samples that are drawn with noise have the variance of the data: to 25 % at 80 steps in order 1, else 0.1 %."""
    check_moments(case.sampler, case.convergence)


SAMPLER = table(value, states, finite, dtype, untouched, repeats, calls, rows, equivariance, order, moments)


def check_sampler(sampler: Sampler, schedules: Sequence[Schedule] | None = None) -> None:
    """Hold a sampler against its contracts on some schedules, the registered ones by default.

    Raises `AssertionError` with what broke and what was measured.
    """
    hold(SAMPLER, OnSchedules(sampler, tuple(schedules or registered())))
