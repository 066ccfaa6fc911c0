"""DEIS: exponential integration of the noise."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from diffkit.core.sampler import Denoiser, Draw, Rows, Sampler, State, Times
from diffkit.core.schedule import Schedule
from diffkit.standard.samplers.adams import adams, in_lambda
from diffkit.standard.samplers.ends import Ends
from diffkit.standard.samplers.forms import FORMS
from diffkit.standard.samplers.multistep import multistep


@dataclass(frozen=True)
class Deis(Sampler):
    r"""Order 1 to 4; one network call a step. Deterministic.

    $$ \frac{x_s}{\alpha_s} = \frac{x_t}{\alpha_t} + \int P\, d\frac{\sigma}{\alpha} $$

    for the polynomial P through the last `order` answers for the noise, in the logarithm of the noise level
    sigma / alpha. (Polynomials in the level itself are `lms`.) Fewer answers in the first steps; first order in the
    step to sigma_s = 0. Orders 2 and 3 are DPM-Solver's multistep methods 2M and 3M for the noise, with exact
    integrals.
    Zhang and Chen 2022, Fast Sampling of Diffusion Models with Exponential Integrator.
    """

    order: Literal[1, 2, 3, 4] = 3

    def steps(self, denoise: Denoiser, schedule: Schedule, x: Rows, times: Times, noise: Draw) -> Iterator[State]:
        """See `Sampler`."""
        ends = Ends.of(schedule, times)
        mix = FORMS["eps"].mix(ends.alpha_t, ends.sigma_t)
        return multistep(denoise, x, times, noise, adams(in_lambda("eps", ends), self.order, mix=mix))
