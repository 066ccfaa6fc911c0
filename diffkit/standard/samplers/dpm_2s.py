"""DPM-Solver-2."""

from collections.abc import Iterator
from dataclasses import dataclass

from diffkit.core.sampler import Denoiser, Draw, Rows, Sampler, State, Times
from diffkit.core.schedule import Schedule
from diffkit.standard.samplers.exponential import SECOND, exponential
from diffkit.standard.samplers.stages import single_step


@dataclass(frozen=True)
class Dpm2S(Sampler):
    r"""Second order; two network calls a step, one in the step to sigma_s = 0. Deterministic.

    $$ u = \frac{\alpha_m}{\alpha_t} x_t - \sigma_m (e^{h/2} - 1)\, \hat\varepsilon(x_t, t), \qquad
       x_s = \frac{\alpha_s}{\alpha_t} x_t - \sigma_s (e^h - 1)\, \hat\varepsilon(u, m) $$

    for the step h in $\lambda = \log(\alpha / \sigma)$, and the time m in its middle. It is Katherine Crowson's DPM2,
    and the midpoint method of d(x/alpha) / d(sigma/alpha) but for the node. (DPM-Solver-1 is `ddim`.)
    Lu et al. 2022, DPM-Solver: A Fast ODE Solver for Diffusion Probabilistic Model Sampling in Around 10 Steps.
    """

    order = 2
    calls_per_step = 2

    def steps(self, denoise: Denoiser, schedule: Schedule, x: Rows, times: Times, noise: Draw) -> Iterator[State]:
        """See `Sampler`."""
        return single_step(denoise, x, times, noise, exponential("eps", schedule, times, SECOND))
