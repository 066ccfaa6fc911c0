"""Restart sampling with any number of intervals."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from torch import Tensor

import diffkit
from diffkit.core import Count, Denoiser, Draw, Positive, Rows, Sampler, Schedule, State, Times

HEUN: Sampler = diffkit.create("sampler", "heun")


@dataclass(frozen=True)
class Restarts(Sampler):
    r"""The `base` sampler, which goes through intervals of noise levels again and again; of the base's order.

    An interval is (low, high, repeats). At the grid's time s whose noise level sigma / alpha is nearest to `low`, noise
    takes x back to the grid's time t nearest to `high`,

    $$ \frac{x_t}{\alpha_t} \leftarrow \frac{x_s}{\alpha_s} + \sqrt{\left(\frac{\sigma_t}{\alpha_t}\right)^2
       - \left(\frac{\sigma_s}{\alpha_s}\right)^2}\, z $$

    and the base sampler takes it down again over the grid's own times; so for `repeats` times. The noise makes errors
    from before the interval shrink. An interval with no two times of its own near its ends is left out; without any it
    is the base sampler. All calls of the restarts from one time are in the step that leads to it.
    Xu et al. 2023, Restart Sampling for Improving Generative Processes.
    """

    base: Sampler = HEUN
    intervals: tuple[tuple[Positive, Positive, Count], ...] = ((1.0, 3.0, 1), (0.06, 0.3, 2))

    def __post_init__(self) -> None:
        for low, high, repeats in self.intervals:
            if low >= high:
                raise diffkit.DiffkitError(
                    f"sampler.intervals: [{low:g}, {high:g}, {repeats}] goes nowhere: give [low, high, repeats], with "
                    "noise levels that rise"
                )

    @property
    def order(self) -> int:
        """The base's."""
        return self.base.order

    @property
    def calls_per_step(self) -> int | None:  # type: ignore[override]
        """The base's; None with intervals, since a step has as many as the grid has times in one."""
        return None if self.intervals else self.base.calls_per_step

    def steps(self, denoise: Denoiser, schedule: Schedule, x: Rows, times: Times, noise: Draw) -> Iterator[State]:
        """See `Sampler`."""
        restarts = self._restarts(schedule, times)
        ends = [*sorted(restarts), len(times) - 1]
        for first, last in zip([0, *ends], ends, strict=False):
            for state in self.base.steps(denoise, schedule, x, times[first : last + 1], noise):
                at = first + state.step
                if at in restarts:
                    back, repeats = restarts[at]
                    scale, std = (c.item() for c in schedule.kernel(times[back], times[at]))
                    for _ in range(repeats):
                        x = (state.x * scale).add_(noise(state.x), alpha=std)
                        *_, end = self.base.steps(denoise, schedule, x, times[back : at + 1], noise)
                        state = replace(state, x=end.x, x_0=end.x_0)
                x = state.x
                yield replace(state, step=at)

    def _restarts(self, schedule: Schedule, times: Tensor) -> dict[int, tuple[int, int]]:
        """For the number of each time with restarts, that of the time they go back to, and how often."""
        alpha, sigma = schedule(times[:-1])
        logs = (sigma / alpha).log()
        found: dict[int, tuple[int, int]] = {}
        for low, high, repeats in self.intervals:
            at, back = (int((logs - math.log(level)).abs().argmin()) for level in (low, high))
            if back < at and at not in found:
                found[at] = back, repeats
        return found
