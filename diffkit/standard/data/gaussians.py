"""Normal distributions in a circle."""

import math
from typing import Annotated

import torch

from diffkit.core.types import Count, NonNegative, Range
from diffkit.standard.data.planar import Planar, Points, noisy, polar


class Gaussians(Planar):
    r"""Points of a mixture of normal distributions, of equal weights, on a circle of radius 1; the mode is the label.

    $$ \frac1K \sum_{k=0}^{K-1} N \left( (\cos \tfrac{2 \pi k}K, \sin \tfrac{2 \pi k}K), s^2 I \right) $$

    s is `noise`. The means are 0, and both variances $\tfrac12 + s^2$, for three modes or more.
    """

    def __init__(
        self,
        modes: Annotated[int, Range(3)] = 8,
        noise: NonNegative = 0.1,
        rows: Count = 50_000,
        held_out: Count = 4096,
        batch_size: Count = 512,
        seed: int = 0,
    ) -> None:
        scale = math.sqrt(1 / 2 + noise**2)
        names = tuple(f"{360 * k / modes:g} degrees" for k in range(modes))
        super().__init__((0.0, 0.0), (scale, scale), names, rows, held_out, batch_size, seed)
        self.modes, self.noise = modes, noise

    def sample(self, count: int, stream: torch.Generator) -> Points:
        """Each mode is as likely."""
        label = torch.randint(self.modes, (count,), generator=stream)
        return noisy(polar(torch.ones(count), 2 * math.pi * label / self.modes), self.noise, stream), label
