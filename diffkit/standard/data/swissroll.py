"""A roll of points in the plane."""

import math

import torch

from diffkit.core.types import Count, NonNegative
from diffkit.standard.data.planar import Planar, Points, noisy, polar


class SwissRoll(Planar):
    r"""Points on a spiral of one and a half turns, denser inside, with normal noise: the section of a Swiss roll.

    $$ t (\cos t, \sin t), \qquad t \sim U(\tfrac32 \pi, \tfrac92 \pi) $$

    The means are 2 and $2 / (3 \pi)$, the mean squares $\tfrac{39}8 \pi^2 \mp \tfrac14$, and the noise's beside.
    Reference: Marsland, Machine learning: an algorithmic perspective, 2009.
    """

    def __init__(
        self,
        noise: NonNegative = 0.5,
        rows: Count = 50_000,
        held_out: Count = 4096,
        batch_size: Count = 512,
        seed: int = 0,
    ) -> None:
        mean, square = (2.0, 2 / (3 * math.pi)), 39 / 8 * math.pi**2 + noise**2
        scale = (math.sqrt(square - 1 / 4 - mean[0] ** 2), math.sqrt(square + 1 / 4 - mean[1] ** 2))
        super().__init__(mean, scale, (), rows, held_out, batch_size, seed)
        self.noise = noise

    def sample(self, count: int, stream: torch.Generator) -> Points:
        """Equally many for each step of t."""
        t = math.pi * (1.5 + 3 * torch.rand(count, generator=stream))
        return noisy(polar(t, t), self.noise, stream), torch.zeros(count, dtype=torch.long)
