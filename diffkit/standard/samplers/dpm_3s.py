"""DPM-Solver-3."""

from collections.abc import Iterator
from dataclasses import dataclass

from diffkit.core.sampler import Denoiser, Draw, Rows, Sampler, State, Times
from diffkit.core.schedule import Schedule
from diffkit.standard.samplers.exponential import THIRD, exponential
from diffkit.standard.samplers.stages import single_step


@dataclass(frozen=True)
class Dpm3S(Sampler):
    r"""Third order; three network calls a step, one in the step to sigma_s = 0. Deterministic.

    $$ x_s = \frac{\alpha_s}{\alpha_t} x_t - \sigma_s (e^h - 1)\, \hat\varepsilon_t
       - \frac{3 \sigma_s}{2} \left(\frac{e^h - 1}{h} - 1\right) (\hat\varepsilon_2 - \hat\varepsilon_t) $$

    for the step h in $\lambda = \log(\alpha / \sigma)$, and the noise at two thirds of it, to where the noise at one
    third leads.
    Lu et al. 2022, DPM-Solver: A Fast ODE Solver for Diffusion Probabilistic Model Sampling in Around 10 Steps.
    """

    order = 3
    calls_per_step = 3

    def steps(self, denoise: Denoiser, schedule: Schedule, x: Rows, times: Times, noise: Draw) -> Iterator[State]:
        """See `Sampler`."""
        return single_step(denoise, x, times, noise, exponential("eps", schedule, times, THIRD))
