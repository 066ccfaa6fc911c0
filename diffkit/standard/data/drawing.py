"""Drawing helpers for data parts: grids of pictures and of clouds of points."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from diffkit.core.data import DataSpec, Drawing
from diffkit.core.errors import DiffkitError
from diffkit.standard.data.canvas import tiled
from diffkit.standard.data.clouds import TILE, cloud_grid

SMALL = 80
"""Pictures smaller than this are enlarged by a whole number, so that every pixel of theirs is a square."""
PANEL = 198
"""How wide a panel of points is where there are few side by side."""


def image_grid(x: Float[Tensor, "rows columns c h w"], titles: Sequence[str], low: float, high: float) -> Image.Image:
    """Pictures of 1 (grey) or 3 channels (red, green, blue) in rows and columns; `low` is black and `high` full light.

    `titles` stand above the columns, wrapped to their width.
    """
    rows, columns, c, h, w = x.shape
    if c not in (1, 3):
        raise DiffkitError(f"a picture has 1 or 3 channels, not {c}: give the data part a `draw` of its own")
    scale = max(1, math.ceil(SMALL / w))
    levels = ((x.float() - low) / (high - low) * 255).round().nan_to_num(0).clamp(0, 255).to(torch.uint8)
    pixels = levels.permute(0, 1, 3, 4, 2).expand(-1, -1, -1, -1, 3).cpu().numpy()
    size, how = (w * scale, h * scale), Image.Resampling.NEAREST
    return tiled(
        [[Image.fromarray(pixels[i, j]).resize(size, how) for j in range(columns)] for i in range(rows)], titles
    )


@dataclass(frozen=True)
class ImageGrid(Drawing):
    """Draws a tile for each picture; `low` is black and `high` full light."""

    spec: DataSpec
    low: float
    high: float

    def draw(self, x: Float[Tensor, "rows columns *d"], titles: Sequence[str] = ()) -> Image.Image:
        """See `Drawing`."""
        return image_grid(x, titles, self.low, self.high)


def scatter_grid(x: Float[Tensor, "rows columns n 2"], titles: Sequence[str]) -> Image.Image:
    """Clouds of points in the plane, one a panel, all on the same square axes; `titles` stand above the columns."""
    return cloud_grid(x.transpose(-1, -2), titles, tile=PANEL if x.shape[1] <= 4 else TILE)
