"""Euler's method with ancestral noise."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from diffkit.core.sampler import Denoiser, Draw, Rows, Sampler, State, Times
from diffkit.core.schedule import Schedule
from diffkit.core.types import Fraction
from diffkit.standard.samplers.ends import Ends
from diffkit.standard.samplers.runge_kutta import EULER, runge_kutta
from diffkit.standard.samplers.stages import ancestral, single_step


@dataclass(frozen=True)
class EulerAncestral(Sampler):
    r"""First order in distribution; one network call a step. Stochastic.

    `euler` to the noise level that is left when the noise is taken off, and that noise:

    $$ n = \eta\, \sigma_s \sqrt{1 - q^2}, \qquad \sigma_s' = \sqrt{\sigma_s^2 - n^2},
       \qquad q = \frac{\sigma_s / \alpha_s}{\sigma_t / \alpha_t} $$

    With form `eps` it is Katherine Crowson's Euler ancestral sampler, and `ddim` with its `eta`.
    """

    form: Literal["eps", "v", "flow"] = "flow"
    eta: Fraction = 1.0

    order = 1

    def steps(self, denoise: Denoiser, schedule: Schedule, x: Rows, times: Times, noise: Draw) -> Iterator[State]:
        """See `Sampler`."""
        ends, spread = Ends.of(schedule, times).ancestral(self.eta)
        stages = runge_kutta(self.form, schedule, times, EULER, ends)
        return single_step(denoise, x, times, noise, ancestral(stages, spread))
