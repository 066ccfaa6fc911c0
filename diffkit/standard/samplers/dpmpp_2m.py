"""DPM-Solver++(2M)."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from diffkit.core.sampler import Denoiser, Draw, Rows, Sampler, State, Times
from diffkit.core.schedule import Schedule
from diffkit.standard.samplers.ends import Ends
from diffkit.standard.samplers.multistep import Table, multistep


@dataclass(frozen=True)
class DpmPp2M(Sampler):
    r"""Second order; one network call a step. Deterministic.

    $$ x_s = \frac{\sigma_s}{\sigma_t} x_t + \alpha_s (1 - e^{-h}) \left((1 + w) \hat x_0 - w\, \hat x_0'\right),
       \qquad w = \frac{h}{2 h'} $$

    for the step h in $\log(\alpha / \sigma)$ and the primed quantities of the step before. First order in the first
    step and in the step to sigma_s = 0.
    Lu et al. 2022, DPM-Solver++: Fast Solver for Guided Sampling of Diffusion Probabilistic Models.
    """

    order = 2

    def steps(self, denoise: Denoiser, schedule: Schedule, x: Rows, times: Times, noise: Draw) -> Iterator[State]:
        """See `Sampler`."""
        return multistep(denoise, x, times, noise, table(Ends.of(schedule, times), 0.0))


def table(ends: Ends, eta: float) -> Table:
    """The steps of the ODE, or with `eta` of the SDE."""
    h = ends.h
    w = torch.cat([torch.zeros_like(h[:1]), h[1:] / (2 * h[:-1])])
    w = torch.where(h.isfinite(), w, 0.0)
    gain = -ends.alpha_s * torch.expm1(-(1 + eta) * h)
    keep = ends.sigma_s / ends.sigma_t
    if eta:
        keep = keep * torch.exp(-eta * h)
    spread = ends.sigma_s * (-torch.expm1(-2 * eta * h)).sqrt() if eta else None
    return Table(keep, torch.stack([gain * (1 + w), -gain * w], 1), spread=spread)
