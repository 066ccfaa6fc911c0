"""SA-Solver: stochastic Adams."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch

from diffkit.core.sampler import Denoiser, Draw, Rows, Sampler, State, Times
from diffkit.core.schedule import Schedule
from diffkit.core.types import NonNegative
from diffkit.standard.samplers.adams import adams, in_lambda
from diffkit.standard.samplers.ends import Ends
from diffkit.standard.samplers.multistep import multistep


@dataclass(frozen=True)
class SaSolver(Sampler):
    r"""Stochastic Adams predictor and corrector; one network call a step.

    $$ x_s = \frac{\sigma_s}{\sigma_t} e^{-\tau^2 h} x_t
       + \alpha_s (1 + \tau^2) \int e^{-(1 + \tau^2)(\lambda_s - \lambda)} P(\lambda)\, d\lambda
       + \sigma_s \sqrt{1 - e^{-2 \tau^2 h}}\, z $$

    for the polynomial P through the last answers x_0 in $\lambda = \log(\alpha / \sigma)$: `predictor` of them, and
    `corrector` of them when the step is mended with the answer at its end and the same z (0: no corrector).
    `tau` is the amount of noise: 1 the reverse of the forward process, 0 the ODE.
    Xue et al. 2023, SA-Solver: Stochastic Adams Solver for Fast Sampling of Diffusion Models.
    """

    tau: NonNegative = 1.0
    predictor: Literal[1, 2, 3] = 2
    corrector: Literal[0, 1, 2, 3, 4] = 2

    @property
    def order(self) -> int:
        """Of the two polynomials: the corrector's, but one above the predictor's at most; of moments, 2 at most."""
        known = min(self.corrector, self.predictor + 1) if self.corrector else self.predictor
        return min(known, self.predictor, 2) if self.tau else known

    def steps(self, denoise: Denoiser, schedule: Schedule, x: Rows, times: Times, noise: Draw) -> Iterator[State]:
        """See `Sampler`."""
        ends, square = Ends.of(schedule, times), self.tau**2
        spread = ends.sigma_s * (-torch.expm1(-2 * square * ends.h)).sqrt() if square else None
        measure = in_lambda("x0", ends, 1 + square)
        table = adams(measure, self.predictor, self.corrector, spread=spread)
        return multistep(denoise, x, times, noise, table)
