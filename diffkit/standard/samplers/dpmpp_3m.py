"""DPM-Solver++(3M)."""

from collections.abc import Iterator
from dataclasses import dataclass

from diffkit.core.sampler import Denoiser, Draw, Rows, Sampler, State, Times
from diffkit.core.schedule import Schedule
from diffkit.standard.samplers.adams import adams, in_lambda
from diffkit.standard.samplers.ends import Ends
from diffkit.standard.samplers.multistep import multistep


@dataclass(frozen=True)
class DpmPp3M(Sampler):
    r"""Third order; one network call a step. Deterministic.

    $$ x_s = \frac{\sigma_s}{\sigma_t} x_t + \alpha_s
       \int_{\lambda_t}^{\lambda_s} e^{\lambda - \lambda_s} P(\lambda)\, d\lambda $$

    for the parabola P through the last three answers x_0, in $\lambda = \log(\alpha / \sigma)$. Fewer answers in the
    first steps; first order in the step to sigma_s = 0. The integral is exact: implementations that take half of the
    second difference are of second order.
    Lu et al. 2022, DPM-Solver++: Fast Solver for Guided Sampling of Diffusion Probabilistic Models.
    """

    order = 3

    def steps(self, denoise: Denoiser, schedule: Schedule, x: Rows, times: Times, noise: Draw) -> Iterator[State]:
        """See `Sampler`."""
        table = adams(in_lambda("x0", Ends.of(schedule, times)), 3)
        return multistep(denoise, x, times, noise, table)
