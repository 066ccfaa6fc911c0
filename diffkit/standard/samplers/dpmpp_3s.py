"""DPM-Solver++(3S)."""

from collections.abc import Iterator
from dataclasses import dataclass

from diffkit.core.sampler import Denoiser, Draw, Rows, Sampler, State, Times
from diffkit.core.schedule import Schedule
from diffkit.standard.samplers.exponential import THIRD, exponential
from diffkit.standard.samplers.stages import single_step


@dataclass(frozen=True)
class DpmPp3S(Sampler):
    r"""Third order; three network calls a step, one in the step to sigma_s = 0. Deterministic.

    $$ x_s = \frac{\sigma_s}{\sigma_t} x_t + \alpha_s (1 - e^{-h})\, \hat x_{0,t}
       + \frac{3 \alpha_s}{2} \left(1 - \frac{1 - e^{-h}}{h}\right) (\hat x_{0,2} - \hat x_{0,t}) $$

    for the step h in $\lambda = \log(\alpha / \sigma)$, and the answer at two thirds of it, to where the answer at one
    third leads.
    Lu et al. 2022, DPM-Solver++: Fast Solver for Guided Sampling of Diffusion Probabilistic Models.
    """

    order = 3
    calls_per_step = 3

    def steps(self, denoise: Denoiser, schedule: Schedule, x: Rows, times: Times, noise: Draw) -> Iterator[State]:
        """See `Sampler`."""
        return single_step(denoise, x, times, noise, exponential("x0", schedule, times, THIRD))
