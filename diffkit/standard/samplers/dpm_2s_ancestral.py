"""DPM-Solver-2 with ancestral noise."""

from collections.abc import Iterator
from dataclasses import dataclass

from diffkit.core.sampler import Denoiser, Draw, Rows, Sampler, State, Times
from diffkit.core.schedule import Schedule
from diffkit.core.types import Fraction
from diffkit.standard.samplers.ends import Ends
from diffkit.standard.samplers.exponential import SECOND, exponential
from diffkit.standard.samplers.stages import ancestral, single_step


@dataclass(frozen=True)
class Dpm2SAncestral(Sampler):
    r"""Second order in distribution; two network calls a step, one in the step to sigma_s = 0. Stochastic.

    `dpm_2s` to the noise level that is left when the noise is taken off, and that noise:

    $$ n = \eta\, \sigma_s \sqrt{1 - q^2}, \qquad \sigma_s' = \sqrt{\sigma_s^2 - n^2},
       \qquad q = \frac{\sigma_s / \alpha_s}{\sigma_t / \alpha_t} $$

    Katherine Crowson's DPM2 ancestral sampler.
    """

    eta: Fraction = 1.0

    order = 2
    calls_per_step = 2

    def steps(self, denoise: Denoiser, schedule: Schedule, x: Rows, times: Times, noise: Draw) -> Iterator[State]:
        """See `Sampler`."""
        ends, spread = Ends.of(schedule, times).ancestral(self.eta)
        stages = exponential("eps", schedule, times, SECOND, ends)
        return single_step(denoise, x, times, noise, ancestral(stages, spread))
