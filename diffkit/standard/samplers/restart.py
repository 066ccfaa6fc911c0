"""Restart sampling."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core.sampler import Denoiser, Draw, Rows, Sampler, State, Times
from diffkit.core.schedule import Schedule
from diffkit.core.types import Count, Positive
from diffkit.standard.samplers.ends import times_at
from diffkit.standard.samplers.heun import Heun

RHO = 7.0
"""Of the Karras grid."""


@dataclass(frozen=True)
class Restart(Sampler):
    r"""The `base` sampler, which goes back and forth once; stochastic, of the base's order.

    At the grid's time whose noise level sigma / alpha is nearest to `level_min`, noise takes x back to `level_max`,

    $$ \frac{x_t}{\alpha_t} \leftarrow \frac{x_s}{\alpha_s} + \sqrt{\left(\frac{\sigma_t}{\alpha_t}\right)^2
       - \left(\frac{\sigma_s}{\alpha_s}\right)^2}\, z $$

    and the base sampler takes it down again, in `inner_steps` on a Karras grid; so for `repeats` times. What errors
    came before shrinks each time; what the inner steps add is their own, however many steps the grid has. Where the
    grid has no such time, or one above `level_max`, it is the base sampler alone. The calls of all that are in one
    step.
    Xu et al. 2023, Restart Sampling for Improving Generative Processes.
    """

    base: Sampler = Heun()
    level_min: Positive = 0.06
    level_max: Positive = 0.3
    repeats: Count = 2
    inner_steps: Count = 5

    @property
    def order(self) -> int:
        """The base's."""
        return self.base.order

    @property
    def calls_per_step(self) -> int | None:  # type: ignore[override]
        """Those of the step with the restarts."""
        calls = self.base.calls_per_step
        return None if calls is None else calls * (1 + self.repeats * self.inner_steps)

    def steps(self, denoise: Denoiser, schedule: Schedule, x: Rows, times: Times, noise: Draw) -> Iterator[State]:
        """See `Sampler`."""
        inner, at = self._inner(schedule, times)
        scale, std = (c.item() for c in schedule.kernel(inner[0], times[at]))
        for state in self.base.steps(denoise, schedule, x, times[: at + 1], noise):
            if state.step == at and at < len(times) - 1:
                for _ in range(self.repeats):
                    x = (state.x * scale).add_(noise(state.x), alpha=std)
                    *_, end = self.base.steps(denoise, schedule, x, inner, noise)
                    state = replace(state, x=end.x, x_0=end.x_0)
            x = state.x
            yield state
        if at < len(times) - 1:
            for state in self.base.steps(denoise, schedule, x, times[at:], noise):
                yield replace(state, step=state.step + at)

    def _inner(self, schedule: Schedule, times: Float[Tensor, " n"]) -> tuple[Float[Tensor, " k"], int]:
        """The times from `level_max` down to where the restarts are, and the number of that time; the last for none."""
        alpha, sigma = schedule(times[1:-1])
        level = sigma / alpha
        allowed = level < self.level_max
        if not allowed.any():
            return times[-1:], len(times) - 1
        distance = torch.where(allowed, (level.log() - math.log(self.level_min)).abs(), math.inf)
        at = int(distance.argmin())
        ends = self.level_max ** (1 / RHO), level[at].item() ** (1 / RHO)
        levels = torch.linspace(*ends, self.inner_steps + 1, dtype=torch.float64)[:-1] ** RHO
        return torch.cat([times_at(schedule, -2 * levels.log()), times[at + 1 : at + 2]]), at + 1
