"""DPM-Solver++ for the SDE, in single steps."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core.sampler import Denoiser, Draw, Rows, Sampler, State, Times
from diffkit.core.schedule import Schedule
from diffkit.core.types import NonNegative
from diffkit.standard.samplers.ends import Ends
from diffkit.standard.samplers.exponential import SECOND, exponential
from diffkit.standard.samplers.stages import single_step


@dataclass(frozen=True)
class DpmPpSde(Sampler):
    r"""`dpmpp_2s` for the SDE; two network calls a step, one in the step to sigma_s = 0. Stochastic.

    $$ u = \frac{\sigma_m}{\sigma_t} e^{-\eta h/2} x_t + \alpha_m (1 - e^{-(1 + \eta) h/2})\, \hat x_0(x_t, t) + n_m $$

    $$ x_s = \frac{\sigma_s}{\sigma_t} e^{-\eta h} x_t + \alpha_s (1 - e^{-(1 + \eta) h})\, \hat x_0(u, m) + n_s $$

    for the step h in $\lambda = \log(\alpha / \sigma)$, and the time m in its middle. Both noises are those of one path
    of the SDE, whose law two independent draws give exactly:

    $$ n_m = \sigma_m \sqrt{1 - e^{-\eta h}}\, z_1, \qquad
       n_s = \frac{\sigma_s}{\sigma_m} e^{-\eta h/2} n_m + \sigma_s \sqrt{1 - e^{-\eta h}}\, z_2 $$

    `eta` scales the SDE's noise: 1 is the reverse of the forward process, 0 the ODE. Katherine Crowson's DPM-Solver++
    SDE sampler, which draws from a tree of a Brownian path.
    """

    eta: NonNegative = 1.0

    order = 2
    calls_per_step = 2

    def steps(self, denoise: Denoiser, schedule: Schedule, x: Rows, times: Times, noise: Draw) -> Iterator[State]:
        """See `Sampler`."""
        ends = Ends.of(schedule, times)
        stages = exponential("x0", schedule, times, SECOND, ends, 1 + self.eta)
        if self.eta:
            stages = replace(stages, spread=_spread(ends, schedule(stages.times[:, 1])[1], self.eta))
        return single_step(denoise, x, times, noise, stages)


def _spread(ends: Ends, sigma_m: Float[Tensor, " n"], eta: float) -> Float[Tensor, "n 2 2"]:
    """The weights of the two draws, in the middle and at the end; the step to sigma_s = 0 has none."""
    h = torch.where(ends.h.isinf(), 0.0, ends.h)
    fresh, none = (-torch.expm1(-eta * h)).sqrt(), torch.zeros_like(h)
    draws = [sigma_m * fresh, none, ends.sigma_s * fresh * torch.exp(-eta * h / 2), ends.sigma_s * fresh]
    return torch.stack(draws, 1).reshape(-1, 2, 2)
