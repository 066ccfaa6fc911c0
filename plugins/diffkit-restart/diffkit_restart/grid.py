"""A grid that stops at given noise levels."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core import Count, Grid, Positive, Schedule

HIGHEST, LOWEST = 90.0, 0.011
"""The noise levels at the ends of the grid: log-SNRs of -9 and 9."""


@dataclass(frozen=True)
class Stops(Grid):
    r"""Karras's grid, of which the times nearest to given noise `levels` are moved to be exactly there.

    $$ (\sigma_t / \alpha_t)^{1/\rho} \text{ falls in equal steps from } 90 \text{ to } 0.011 $$

    From there one step goes to the data. A grid without a time left for a level does without it, and so it does without
    levels beyond its ends.
    Karras et al. 2022, Elucidating the Design Space of Diffusion-Based Generative Models.
    """

    steps: Count = 30
    levels: tuple[Positive, ...] = (3.0, 1.0, 0.3, 0.06)
    rho: Positive = 7.0

    def __call__(self, schedule: Schedule) -> Float[Tensor, " n"]:
        """See `Grid`."""
        end = schedule.logsnr(torch.tensor(schedule.span()[1], dtype=torch.float64))
        highest = min(HIGHEST, (-end / 2).exp().item())
        roots = torch.linspace(highest ** (1 / self.rho), LOWEST ** (1 / self.rho), self.steps, dtype=torch.float64)
        logsnr = -2 * self.rho * roots.log()
        next_free = 1
        for level in sorted({level for level in self.levels if LOWEST < level < highest}, reverse=True):
            nearest = int((roots - level ** (1 / self.rho)).abs().argmin())
            place = max(nearest, next_free)
            if place < self.steps - 1:
                logsnr[place] = -2 * torch.tensor(level, dtype=torch.float64).log()
                next_free = place + 1
        return torch.cat([schedule.time(logsnr), torch.zeros(1, dtype=torch.float64)])
