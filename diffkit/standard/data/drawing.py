"""Drawing helpers for data parts: grids of pictures and of clouds of points."""

import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from diffkit.core.errors import DiffkitError

TILE = 80
"""Pictures smaller than this are enlarged by a whole number, so that every pixel of theirs is a square."""
GAP = 3
TEXT = 11
LETTERS = 22
"""How many stand side by side above a panel of points."""


def image_grid(x: Float[Tensor, "rows columns c h w"], titles: Sequence[str], low: float, high: float) -> Image.Image:
    """Pictures of 1 (grey) or 3 channels (red, green, blue) in rows and columns; `low` is black and `high` full light.

    `titles` stand above the columns, wrapped to their width.
    """
    rows, columns, c, h, w = x.shape
    if c not in (1, 3):
        raise DiffkitError(f"a picture has 1 or 3 channels, not {c}: give the data part a `draw` of its own")
    scale = max(1, math.ceil(TILE / w))
    levels = ((x.float() - low) / (high - low) * 255).round().nan_to_num(0).clamp(0, 255).to(torch.uint8)
    pixels = levels.permute(0, 1, 3, 4, 2).expand(-1, -1, -1, -1, 3).cpu().numpy()
    lines = [_wrap(title, w * scale) for title in titles[:columns]]
    top = _height(max(map(len, lines), default=0))
    size = (columns * (w * scale + GAP) + GAP, top + rows * (h * scale + GAP) + GAP)
    canvas = Image.new("RGB", size, "white")
    for i, j in torch.cartesian_prod(torch.arange(rows), torch.arange(columns)).tolist():
        tile = Image.fromarray(pixels[i, j]).resize((w * scale, h * scale), Image.Resampling.NEAREST)
        canvas.paste(tile, (GAP + j * (w * scale + GAP), top + GAP + i * (h * scale + GAP)))
    for j, title in enumerate(lines):
        middle = GAP + j * (w * scale + GAP) + w * scale / 2
        _write(canvas, title, middle, top)
    return canvas


def scatter_grid(x: Float[Tensor, "rows columns n 2"], titles: Sequence[str]) -> Image.Image:
    """Clouds of points in the plane, one a panel, all on the same square axes; `titles` stand above the columns."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows, columns, n, _ = x.shape
    titles = ["\n".join(map(_short, title.splitlines())) for title in titles[:columns]]
    lines = max((title.count("\n") + 1 for title in titles), default=0)
    height = 1.5 * rows + (0.4 if lines else 0) + 0.2 * max(0, lines - 2)
    figure = Figure(figsize=(1.5 * columns, height), dpi=100, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False)
    points = x.double().cpu().nan_to_num(0).numpy()
    low, high = points.min((0, 1, 2)), points.max((0, 1, 2))
    half = max(1e-9, 0.525 * (high - low).max())
    left, right = (low + high) / 2 - half, (low + high) / 2 + half
    for i, j in torch.cartesian_prod(torch.arange(rows), torch.arange(columns)).tolist():
        size = min(9.0, max(1.0, 900 / n))
        panels[i, j].scatter(*points[i, j].T, s=size, c="#1f4e79", alpha=0.6, linewidths=0)
        panels[i, j].set(xlim=(left[0], right[0]), ylim=(left[1], right[1]), aspect="equal", xticks=[], yticks=[])
    for panel, title in zip(panels[0], titles, strict=False):
        panel.set_title(title, fontsize=9, parse_math=False)  # a prompt may have dollars
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


@cache
def _font() -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib and has Greek letters and mathematical signs."""
    import matplotlib

    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), TEXT)


def _height(lines: int) -> int:
    return lines * (TEXT + 3) + 2 * GAP if lines else 0


def _short(line: str) -> str:
    return fill(line, LETTERS, max_lines=3, placeholder="…")


def _wrap(text: str, width: int) -> list[str]:
    """Lines of `text` no wider than `width` pixels, broken at spaces where that is possible."""
    lines: list[str] = []
    for paragraph in text.splitlines():
        line = ""
        for word in paragraph.split(" "):
            together = f"{line} {word}" if line else word
            if _font().getlength(together) <= width:
                line = together
                continue
            lines += [line] if line else []
            line = word
            while _font().getlength(line) > width and len(line) > 1:
                fits = max(1, sum(_font().getlength(line[: k + 1]) <= width for k in range(len(line))))
                lines, line = [*lines, line[:fits]], line[fits:]
        lines.append(line)
    return lines


def _write(canvas: Image.Image, lines: list[str], middle: float, bottom: int) -> None:
    """Centred lines of text that end just above `bottom`."""
    draw = ImageDraw.Draw(canvas)
    top = bottom - _height(len(lines)) + GAP
    for i, line in enumerate(lines):
        draw.text((middle, top + i * (TEXT + 3)), line, fill="black", font=_font(), anchor="ma")
