"""Two spiral arms of points in the plane."""

import math

import torch

from diffkit.core.types import Count, NonNegative
from diffkit.standard.data.planar import Planar, Points, noisy, polar

TURNS = 2


class Spirals(Planar):
    r"""Points on two arms that wind twice around the origin and out to 1, with normal noise; the arm is the label.

    $$ \pm r (\cos 4 \pi r, \sin 4 \pi r), \qquad r^2 \sim U(0, 1) $$

    So they are about equally dense all along an arm. The means are 0 and the variances
    $\tfrac14 \pm 3 / (8 \pi)^2$, and the noise's beside.
    """

    def __init__(
        self,
        noise: NonNegative = 0.02,
        rows: Count = 50_000,
        held_out: Count = 4096,
        batch_size: Count = 512,
        seed: int = 0,
    ) -> None:
        uneven = 3 / (4 * math.pi * TURNS) ** 2
        scale = (math.sqrt(1 / 4 + uneven + noise**2), math.sqrt(1 / 4 - uneven + noise**2))
        super().__init__((0.0, 0.0), scale, ("first", "second"), rows, held_out, batch_size, seed)
        self.noise = noise

    def sample(self, count: int, stream: torch.Generator) -> Points:
        """Either arm is as likely."""
        radius = torch.rand(count, generator=stream).sqrt()
        label = torch.randint(2, (count,), generator=stream)
        return noisy(polar(radius, 2 * math.pi * TURNS * radius + math.pi * label), self.noise, stream), label
