"""Points on the surfaces of shapes in space, in metres, with captions."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core.data import Augmented, DataSpec
from diffkit.core.noise import generator
from diffkit.core.types import Batch, Count
from diffkit.standard.data.memory import MemoryData, Split
from diffkit.standard.data.surfaces import SURFACES

if TYPE_CHECKING:
    from PIL.Image import Image

NAMES = tuple(SURFACES)
WIDTHS = tuple(range(5, 16))
"""In tenths of a metre."""
MEAN, SCALE = (0.0, 0.0, -0.067), (0.313,)
"""Over all shapes, widths and proportions, in metres; one scale, so that a sphere stays one."""
TEST = 1024
"""How many clouds the test split has."""


class Shapes(MemoryData, Augmented):
    """Clouds of points, each spread evenly over a surface or along a curve, with class and captions.

    A shape stands upright about the origin, turned about the vertical by any angle. It is 0.5 m to 1.5 m wide, in
    steps of 0.1 m which most captions tell, and its other proportions are random (`diffkit.standard.data.surfaces`).
    The clouds are the same in every run; in training each is turned afresh about the vertical when it is seen.
    """

    def __init__(self, points: Count = 128, clouds: Count = 8192, batch_size: Count = 64, seed: int = 0) -> None:
        spec = DataSpec(
            shape=(3, points),
            conditions={"label": len(NAMES), "text": None},
            unit="m",
            mean=MEAN,
            scale=SCALE,
            names=("x", "y", "z"),
            class_names=NAMES,
        )
        super().__init__(spec, batch_size, seed)
        self.points, self.clouds = points, clouds

    def read(self, split: Split) -> Batch:
        """The clouds, as many of each class, with their labels and captions."""
        stream, rows = generator("shapes", split), self.clouds if split == "train" else TEST
        label = torch.arange(rows) % len(NAMES)
        tenths = torch.tensor(WIDTHS)[torch.randint(len(WIDTHS), (rows,), generator=stream)]
        u = torch.rand(rows, self.points, 3, generator=stream)
        v = torch.rand(rows, 2, generator=stream)
        x = torch.empty(rows, self.points, 3)
        for i, surface in enumerate(SURFACES.values()):
            x[label == i] = surface(u[label == i], v[label == i])
        x = turned(0.1 * tenths[:, None, None] * x.mT, torch.rand(rows, generator=stream))
        text = [captions(NAMES[i], w) for i, w in zip(label.tolist(), tenths.tolist(), strict=True)]
        return {"x": self.spec.standardise(x), "label": label, "text": text}

    def augment(self, rows: Batch, stream: torch.Generator) -> Batch:
        """Each cloud turned about the vertical."""
        turn = torch.rand(len(rows["x"]), generator=stream)
        return {**rows, "x": turned(rows["x"], turn.to(rows["x"]))}

    def draw(self, x: Float[Tensor, "rows columns *d"], titles: Sequence[str] = ()) -> "Image":
        """A tile for each cloud."""
        from diffkit.standard.data.clouds import cloud_grid

        return cloud_grid(x, titles, "m")


def turned(x: Float[Tensor, "b 3 n"], turn: Float[Tensor, " b"]) -> Float[Tensor, "b 3 n"]:
    """Clouds turned about their third axis; `turn` counts whole turns."""
    c, s = (f(2 * math.pi * turn)[:, None] for f in (torch.cos, torch.sin))
    return torch.stack([c * x[:, 0] - s * x[:, 1], s * x[:, 0] + c * x[:, 1], x[:, 2]], 1)


def captions(name: str, tenths: int) -> tuple[str, ...]:
    """What one may say of a shape of so many tenths of a metre."""
    metres = f"{tenths / 10:.1f} m"
    return f"a {name} {metres} wide", f"{name}, {metres}", f"a {10 * tenths} cm wide {name}", f"a {name}"
