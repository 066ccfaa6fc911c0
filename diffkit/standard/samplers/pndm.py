"""Pseudo numerical methods for diffusion models."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from torch import Tensor

from diffkit.core.sampler import Denoiser, Draw, Rows, Sampler, State, Times
from diffkit.core.schedule import Schedule
from diffkit.standard.samplers.ends import Ends
from diffkit.standard.samplers.forms import FORMS
from diffkit.standard.samplers.ipndm import table
from diffkit.standard.samplers.multistep import multistep
from diffkit.standard.samplers.runge_kutta import CLASSIC, runge_kutta
from diffkit.standard.samplers.stages import single_step


@dataclass(frozen=True)
class Pndm(Sampler):
    r"""First order on every grid; one network call a step, four in each of the first three steps. Deterministic.

    The first three steps are of the classical Runge-Kutta method in the noise level sigma / alpha; then comes
    `ipndm` with four answers: second order where the lengths of the steps change smoothly. (Liu et al. put the
    nodes in the middle of a step's times. Here they are in the middle of its noise levels, so that the samples are the
    same on every schedule.)
    Liu et al. 2022, Pseudo Numerical Methods for Diffusion Models on Manifolds.
    """

    order = 1
    calls_per_step = 4

    def steps(self, denoise: Denoiser, schedule: Schedule, x: Rows, times: Times, noise: Draw) -> Iterator[State]:
        """See `Sampler`."""
        ends, first = Ends.of(schedule, times), times[:4]
        mixes = zip(*(m.tolist() for m in FORMS["eps"].mix(ends.alpha_t, ends.sigma_t)), strict=True)
        slopes: list[Tensor] = []
        for state in single_step(denoise, x, first, noise, runge_kutta("eps", schedule, first, CLASSIC)):
            of_x, of_x_0 = next(mixes)
            slopes.insert(0, (state.x_0 * of_x_0).add_(x, alpha=of_x))
            x = state.x
            yield state
        if len(times) > 4:
            rest = Ends.of(schedule, times[3:])
            for state in multistep(denoise, x, times[3:], noise, table(rest, 4, 3), slopes):
                yield replace(state, step=state.step + 3)
