"""Points on the dark squares of a board."""

import math

import torch

from diffkit.core.types import Count
from diffkit.standard.data.planar import Planar, Points

SIDE = 4
"""Squares along a side, an even number."""
DARK = tuple((column, row) for column in range(SIDE) for row in range(SIDE) if (column + row) % 2 == 0)


class Checkerboard(Planar):
    """Points spread evenly over the eight dark squares of a board of four by four, with sharp edges.

    A square has the side 1, and the middle of the board is the origin; the square is the label: a1, a3, b2, ... as in
    chess. The means are 0, and both variances 4/3.
    """

    def __init__(self, rows: Count = 50_000, held_out: Count = 4096, batch_size: Count = 512, seed: int = 0) -> None:
        scale = SIDE / math.sqrt(12)
        names = tuple(f"{'abcd'[column]}{row + 1}" for column, row in DARK)
        super().__init__((0.0, 0.0), (scale, scale), names, rows, held_out, batch_size, seed)

    def sample(self, count: int, stream: torch.Generator) -> Points:
        """Each square is as likely."""
        label = torch.randint(len(DARK), (count,), generator=stream)
        return torch.tensor(DARK)[label] - SIDE / 2 + torch.rand(count, 2, generator=stream), label
