"""Two half circles of points in the plane."""

import math

import torch

from diffkit.core.types import Count, NonNegative
from diffkit.standard.data.planar import Planar, Points, noisy, polar


class Moons(Planar):
    r"""Points on two interleaved half circles of radius 1, with normal noise; the half circle is the label.

    $$ (\cos\theta, \sin\theta) \quad\text{or}\quad (1 - \cos\theta, \tfrac12 - \sin\theta),
       \qquad \theta \sim U(0, \pi) $$

    Over both, the coordinates have means 1/2 and 1/4 and variances 3/4 and 9/16 - 1/pi, and the noise's beside.
    """

    def __init__(
        self,
        noise: NonNegative = 0.08,
        rows: Count = 50_000,
        held_out: Count = 4096,
        batch_size: Count = 512,
        seed: int = 0,
    ) -> None:
        scale = (math.sqrt(3 / 4 + noise**2), math.sqrt(9 / 16 - 1 / math.pi + noise**2))
        super().__init__((0.5, 0.25), scale, ("upper", "lower"), rows, held_out, batch_size, seed)
        self.noise = noise

    def sample(self, count: int, stream: torch.Generator) -> Points:
        """As many of one half circle as of the other."""
        angle = math.pi * torch.rand(count, generator=stream)
        label = torch.arange(count) % 2
        x = polar(torch.ones(count), angle)
        x = torch.where(label[:, None] == 0, x, torch.tensor([1.0, 0.5]) - x)
        return noisy(x, self.noise, stream), label
