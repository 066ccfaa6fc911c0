"""Improved pseudo numerical methods for diffusion models."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch

from diffkit.core.sampler import Denoiser, Draw, Rows, Sampler, State, Times
from diffkit.core.schedule import Schedule
from diffkit.standard.samplers.ends import Ends
from diffkit.standard.samplers.forms import FORMS
from diffkit.standard.samplers.multistep import Table, multistep


@dataclass(frozen=True)
class Ipndm(Sampler):
    r"""Fixed coefficients for the last `answers` answers; one network call a step. Deterministic.

    $$ x_s = \frac{\alpha_s}{\alpha_t} x_t + \alpha_s \left(\frac{\sigma_s}{\alpha_s} - \frac{\sigma_t}{\alpha_t}\right)
       \sum_j c_j\, \hat\varepsilon^{(-j)}, \qquad c = \frac{1}{24} (55, -59, 37, -9) $$

    for four answers: DDIM's step with the noise extrapolated. Fewer in the first steps. The coefficients are right for
    equal steps in the noise level sigma / alpha alone. However many answers there are, the method is of second order
    where the lengths of the steps change smoothly, and of first order where they change at once; `lms` has the
    coefficients for the grid at hand. (`pndm` starts with Runge-Kutta steps.)
    Liu et al. 2022, Pseudo Numerical Methods for Diffusion Models on Manifolds; Zhang and Chen 2022, Fast Sampling of
    Diffusion Models with Exponential Integrator.
    """

    answers: Literal[3, 4] = 4

    order = 1

    def steps(self, denoise: Denoiser, schedule: Schedule, x: Rows, times: Times, noise: Draw) -> Iterator[State]:
        """See `Sampler`."""
        return multistep(denoise, x, times, noise, table(Ends.of(schedule, times), self.answers))


COEFFICIENTS = ((1.0,), (3 / 2, -1 / 2), (23 / 12, -16 / 12, 5 / 12), (55 / 24, -59 / 24, 37 / 24, -9 / 24))
"""Adams and Bashforth's for equal steps, by the number of slopes."""


def table(ends: Ends, answers: int, known: int = 0) -> Table:
    """The steps with up to so many `answers`, of which `known` are from before the first step."""
    n = len(ends.alpha_t)
    pull = torch.zeros(n, answers, dtype=torch.float64)
    for i in range(n):
        row = COEFFICIENTS[min(i + 1 + known, answers) - 1]
        pull[i, : len(row)] = torch.tensor(row, dtype=torch.float64)
    whole = ends.alpha_s * (ends.sigma_s / ends.alpha_s - ends.sigma_t / ends.alpha_t)
    mix = FORMS["eps"].mix(ends.alpha_t, ends.sigma_t)
    return Table(ends.alpha_s / ends.alpha_t, whole[:, None] * pull, mix)
