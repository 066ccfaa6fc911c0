"""SDE-DPM-Solver++(3M)."""

from collections.abc import Iterator
from dataclasses import dataclass

from diffkit.core.sampler import Denoiser, Draw, Rows, Sampler, State, Times
from diffkit.core.schedule import Schedule
from diffkit.core.types import NonNegative
from diffkit.standard.samplers.sa_solver import SaSolver


@dataclass(frozen=True)
class DpmPp3MSde(Sampler):
    r"""SDE-DPM-Solver++(3M): `dpmpp_3m` for the SDE; one network call a step. Stochastic.

    `eta` scales the SDE's noise as in `dpmpp_2m_sde`: `sa_solver` of three answers without a corrector, whose tau is
    the square root of `eta`.
    Lu et al. 2022, DPM-Solver++: Fast Solver for Guided Sampling of Diffusion Probabilistic Models.
    """

    eta: NonNegative = 1.0

    @property
    def order(self) -> int:
        """Of the moments; of the solution at `eta` 0."""
        return 2 if self.eta else 3

    def steps(self, denoise: Denoiser, schedule: Schedule, x: Rows, times: Times, noise: Draw) -> Iterator[State]:
        """See `Sampler`."""
        return SaSolver(self.eta**0.5, 3, 0).steps(denoise, schedule, x, times, noise)
