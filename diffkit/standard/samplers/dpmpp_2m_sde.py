"""SDE-DPM-Solver++(2M)."""

from collections.abc import Iterator
from dataclasses import dataclass

from diffkit.core.sampler import Denoiser, Draw, Rows, Sampler, State, Times
from diffkit.core.schedule import Schedule
from diffkit.core.types import NonNegative
from diffkit.standard.samplers.dpmpp_2m import table
from diffkit.standard.samplers.ends import Ends
from diffkit.standard.samplers.multistep import multistep


@dataclass(frozen=True)
class DpmPp2MSde(Sampler):
    r"""SDE-DPM-Solver++(2M): `dpmpp_2m` for the SDE; one network call a step. Stochastic.

    $$ x_s = \frac{\sigma_s}{\sigma_t} e^{-\eta h} x_t
       + \alpha_s (1 - e^{-(1 + \eta) h}) \left((1 + w) \hat x_0 - w\, \hat x_0'\right)
       + \sigma_s \sqrt{1 - e^{-2 \eta h}}\, z $$

    `eta` scales the SDE's noise: 1 is the reverse of the forward process, 0 the ODE. The first order step at 1 is
    DDPM's. Lu et al. 2022, DPM-Solver++: Fast Solver for Guided Sampling of Diffusion Probabilistic Models.
    """

    eta: NonNegative = 1.0

    order = 2

    def steps(self, denoise: Denoiser, schedule: Schedule, x: Rows, times: Times, noise: Draw) -> Iterator[State]:
        """See `Sampler`."""
        return multistep(denoise, x, times, noise, table(Ends.of(schedule, times), self.eta))
