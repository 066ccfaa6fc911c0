"""Points on a ring."""

from collections.abc import Sequence
from math import pi, sqrt
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core import Batch, Count, DataSpec, NonNegative
from diffkit.core.noise import generator
from diffkit.standard.data import MemoryData, scatter_grid

if TYPE_CHECKING:
    from PIL.Image import Image


class MyData(MemoryData):
    r"""Points in the plane on a ring of radius 1, a little off it; the label says in which of equal sectors.

    $$ r (\cos\theta, \sin\theta), \qquad \theta \sim U(0, 2\pi), \quad r \sim \mathcal N(1, \mathrm{noise}^2) $$

    Each coordinate has the mean 0 and the variance (1 + noise²) / 2.
    """

    def __init__(
        self, sectors: Count = 8, noise: NonNegative = 0.1, points: Count = 4096, batch_size: Count = 256, seed: int = 0
    ) -> None:
        spec = DataSpec(shape=(2,), conditions={"label": sectors}, scale=(sqrt((1 + noise**2) / 2),))
        super().__init__(spec, batch_size, seed)
        self.sectors, self.noise, self.points = sectors, noise, points

    def read(self, split: Literal["train", "test"]) -> Batch:
        """As many points for training as for testing, the same in every run."""
        stream = generator("ring", split)
        turn = torch.rand(self.points, generator=stream)
        radius = 1 + self.noise * torch.randn(self.points, generator=stream)
        x = radius[:, None] * torch.stack([(2 * pi * turn).cos(), (2 * pi * turn).sin()], 1)
        return {"x": self.spec.standardise(x), "label": (self.sectors * turn).long()}

    def draw(self, x: Float[Tensor, "rows columns *d"], titles: Sequence[str] = ()) -> "Image":
        """A cloud of points in each panel."""
        return scatter_grid(x, titles)
