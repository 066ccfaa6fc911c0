"""DPM-Solver++(2S)."""

from collections.abc import Iterator
from dataclasses import dataclass

from diffkit.core.sampler import Denoiser, Draw, Rows, Sampler, State, Times
from diffkit.core.schedule import Schedule
from diffkit.standard.samplers.exponential import SECOND, exponential
from diffkit.standard.samplers.stages import single_step


@dataclass(frozen=True)
class DpmPp2S(Sampler):
    r"""Second order; two network calls a step, one in the step to sigma_s = 0. Deterministic.

    $$ u = \frac{\sigma_m}{\sigma_t} x_t + \alpha_m (1 - e^{-h/2})\, \hat x_0(x_t, t), \qquad
       x_s = \frac{\sigma_s}{\sigma_t} x_t + \alpha_s (1 - e^{-h})\, \hat x_0(u, m) $$

    for the step h in $\lambda = \log(\alpha / \sigma)$, and the time m in its middle. (DPM-Solver++ of first order
    is `ddim`.)
    Lu et al. 2022, DPM-Solver++: Fast Solver for Guided Sampling of Diffusion Probabilistic Models.
    """

    order = 2
    calls_per_step = 2

    def steps(self, denoise: Denoiser, schedule: Schedule, x: Rows, times: Times, noise: Draw) -> Iterator[State]:
        """See `Sampler`."""
        return single_step(denoise, x, times, noise, exponential("x0", schedule, times, SECOND))
