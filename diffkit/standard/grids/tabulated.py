"""A grid of given levels."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core.errors import DiffkitError
from diffkit.core.grid import Grid
from diffkit.core.schedule import Schedule
from diffkit.core.types import Count
from diffkit.standard.grids.chain import on_chain
from diffkit.standard.grids.span import LogSnrValue, span, to_data


@dataclass(frozen=True)
class Tabulated(Grid):
    """Given log-SNRs, rising, at the beginnings of the steps; the last step ends at the data.

    For another number of `steps` than there are, they are interpolated linearly in their rank. The default are the
    noise levels, 14.6 to 0.029, that were found for Stable Diffusion 1.5. With `chain`, the nearest steps of a discrete
    chain.
    Sabour et al. 2024, Align Your Steps: Optimizing Sampling Schedules in Diffusion Models.
    """

    logsnr: tuple[LogSnrValue, ...] = (
        -5.364,
        -3.736,
        -2.702,
        -1.984,
        -1.269,
        -0.667,
        0.075,
        0.855,
        1.838,
        3.768,
        7.081,
    )
    steps: Count = 11
    chain: Count | None = None

    def __call__(self, schedule: Schedule) -> Float[Tensor, " n"]:
        """See `Grid`. Raises `DiffkitError` for log-SNRs that do not rise."""
        known = torch.tensor(self.logsnr, dtype=torch.float64)
        if not known.numel() or (known.diff() <= 0).any():
            raise DiffkitError(f"grid.logsnr={list(self.logsnr)}: give log-SNRs that rise, from noise to data")
        rank = torch.linspace(0, len(known) - 1, self.steps, dtype=torch.float64)
        i = rank.long().clamp(max=max(len(known) - 2, 0))
        logsnr = torch.lerp(known[i], known[(i + 1).clamp(max=len(known) - 1)], rank - i)
        times = to_data(schedule, logsnr.clamp(min=span(schedule, known[0].item())[0]))
        return on_chain(times, schedule, self.chain)
