"""Concentric rings of points in the plane."""

import math

import torch

from diffkit.core.types import Count, NonNegative
from diffkit.standard.data.planar import Planar, Points, noisy, polar


class Rings(Planar):
    r"""Points on circles of radius 1, 2, ..., with normal noise; the ring is the label.

    $$ k (\cos\theta, \sin\theta), \qquad P(k) \propto k, \quad \theta \sim U(0, 2 \pi) $$

    So they are equally dense on all rings. The means are 0, and both variances K (K + 1) / 4 for K rings, and the
    noise's beside.
    """

    def __init__(
        self,
        rings: Count = 3,
        noise: NonNegative = 0.08,
        rows: Count = 50_000,
        held_out: Count = 4096,
        batch_size: Count = 512,
        seed: int = 0,
    ) -> None:
        scale = math.sqrt(rings * (rings + 1) / 4 + noise**2)
        names = tuple(f"radius {k + 1}" for k in range(rings))
        super().__init__((0.0, 0.0), (scale, scale), names, rows, held_out, batch_size, seed)
        self.rings, self.noise = rings, noise

    def sample(self, count: int, stream: torch.Generator) -> Points:
        """Each ring has a share that goes with its length."""
        label = torch.multinomial(torch.arange(1.0, self.rings + 1), count, replacement=True, generator=stream)
        angle = 2 * math.pi * torch.rand(count, generator=stream)
        return noisy(polar(label + 1.0, angle), self.noise, stream), label
