"""Two half circles of points in the plane: data that are not pictures."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core.data import DataSpec
from diffkit.core.noise import generator
from diffkit.core.types import Batch, Count, NonNegative
from diffkit.standard.data.memory import MemoryData, Split

if TYPE_CHECKING:
    from PIL.Image import Image


class Moons(MemoryData):
    r"""Points on two interleaved half circles of radius 1, with normal noise; the half circle is the label.

    $$ (\cos\theta, \sin\theta) \quad\text{or}\quad (1 - \cos\theta, \tfrac12 - \sin\theta),
       \qquad \theta \sim U(0, \pi) $$

    Over both, the coordinates have means 1/2 and 1/4 and variances 3/4 and 9/16 - 1/pi, and the noise's beside.
    """

    def __init__(self, noise: NonNegative = 0.08, points: Count = 4096, batch_size: Count = 256, seed: int = 0) -> None:
        scale = (math.sqrt(3 / 4 + noise**2), math.sqrt(9 / 16 - 1 / math.pi + noise**2))
        super().__init__(DataSpec(shape=(2,), conditions={"label": 2}, mean=(0.5, 0.25), scale=scale), batch_size, seed)
        self.noise, self.points = noise, points

    def read(self, split: Split) -> Batch:
        """As many points for training as for testing, the same in every run."""
        stream = generator("moons", split)
        angle = math.pi * torch.rand(self.points, generator=stream)
        label = torch.arange(self.points) % 2
        x = torch.stack([angle.cos(), angle.sin()], 1)
        x = torch.where(label[:, None] == 0, x, torch.tensor([1.0, 0.5]) - x)
        x = x + self.noise * torch.randn(x.shape, generator=stream)
        return {"x": self.spec.standardise(x), "label": label}

    def draw(self, x: Float[Tensor, "rows columns *d"], titles: Sequence[str] = ()) -> "Image":
        """A scatter plot for each panel."""
        from diffkit.standard.data.drawing import scatter_grid

        return scatter_grid(x, titles)
