"""Distributions of points in the plane, of which as many can be drawn as are asked for."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from diffkit.core.data import DataSpec
from diffkit.core.noise import generator
from diffkit.core.types import Batch, Count
from diffkit.standard.data.memory import MemoryData, Split

if TYPE_CHECKING:
    from PIL.Image import Image

Points = tuple[Float[Tensor, "n 2"], Int[Tensor, " n"]]


class Planar(MemoryData):
    """Independent points in the plane, `rows` to train on and `held_out` others; the same in every run.

    `mean` and `scale` are of x and y over the whole distribution; `classes` names the labels, if there are any.
    """

    def __init__(
        self,
        mean: tuple[float, float],
        scale: tuple[float, float],
        classes: tuple[str, ...],
        rows: Count,
        held_out: Count,
        batch_size: Count,
        seed: int,
    ) -> None:
        labels = {"label": len(classes)} if classes else {}
        spec = DataSpec((2,), labels, mean=mean, scale=scale, names=("x", "y"), class_names=classes)
        super().__init__(spec, batch_size, seed)
        self.rows: dict[Split, int] = {"train": rows, "test": held_out}

    @abstractmethod
    def sample(self, count: int, stream: torch.Generator) -> Points:
        """So many points drawn from the stream, and the class of each, which is 0 where there are no classes."""

    def read(self, split: Split) -> Batch:
        """The points, and their classes."""
        x, label = self.sample(self.rows[split], generator(type(self).__name__.lower(), split))
        columns = {"x": self.spec.standardise(x)}
        return {**columns, "label": label} if self.spec.conditions else columns

    def draw(self, x: Float[Tensor, "rows columns *d"], titles: Sequence[str] = ()) -> "Image":
        """A scatter plot for each panel."""
        from diffkit.standard.data.drawing import scatter_grid

        return scatter_grid(x, titles)


def polar(radius: Float[Tensor, " n"], angle: Float[Tensor, " n"]) -> Float[Tensor, "n 2"]:
    """Points at a distance from the origin, in a direction."""
    return radius[:, None] * torch.stack([angle.cos(), angle.sin()], 1)


def noisy(x: Float[Tensor, "n 2"], noise: float, stream: torch.Generator) -> Float[Tensor, "n 2"]:
    """The points with normal noise of this deviation in each direction."""
    return x + noise * torch.randn(x.shape, generator=stream)
