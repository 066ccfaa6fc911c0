"""A grid of equal angles."""

from dataclasses import dataclass
from math import atan, exp
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core import Count, Grid, Range, Schedule


@dataclass(frozen=True)
class MyGrid(Grid):
    r"""Equal steps of the angle between signal and noise, the same levels on any schedule.

    $$ \varphi_k = \varphi_0 \left( 1 - \frac{k}{\mathrm{steps}} \right), \qquad \tan\varphi = \sigma_t / \alpha_t $$

    It starts at the last time at which the log-SNR is `logsnr_min`, or at t = 1.
    """

    steps: Count = 20
    logsnr_min: Annotated[float, Range(-20, 0)] = -10.0

    def __call__(self, schedule: Schedule) -> Float[Tensor, " n"]:
        """See `Grid`."""
        end = torch.tensor(1.0, dtype=torch.float64)
        start = max(self.logsnr_min, schedule.logsnr(end).item())
        angles = atan(exp(-start / 2)) * torch.linspace(1, 0, self.steps + 1, dtype=torch.float64)[:-1]
        return torch.cat([schedule.time(-2 * angles.tan().log()), 0 * end[None]])
