"""Corner plots: how the columns of a table are spread, and how each two go together, samples over data."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from diffkit.core.data import Data, DataSpec, Drawing
from diffkit.core.types import Batch
from diffkit.core.units import with_unit
from diffkit.standard.data.canvas import tiled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN = 6
"""A plot has this many columns of the table at most, the first ones."""
FEW = 3
"""Up to so many plots beside each other are large, and have numbers on their axes."""
BEHIND = 1000
"""How many rows of the data lie below the samples."""
GAP, LINE = 4, 12
"""In pixels: between the panels of a plot, and the height of a line of text."""
COLOURS = {"data": "#a8a8a8", "samples": "#1f4e79"}

Rows = NDArray[np.float64]


def over_data(data: Data, x: Float[Tensor, "rows columns n d"], titles: Sequence[str]) -> Image.Image:
    """A corner plot of each panel of `x`, in the data's own units, over rows of the training split in grey."""
    return CornerPlots(data.spec, data.spec.own(data.reference("train"))).draw(x, titles)


@dataclass(frozen=True)
class CornerPlots(Drawing):
    """Draws corner plots over some of the `rows` of the data, which are in their own units, in grey."""

    spec: DataSpec
    rows: Batch | None = None

    def draw(self, x: Float[Tensor, "rows columns n d"], titles: Sequence[str] = ()) -> Image.Image:
        """See `Drawing`."""
        behind: Tensor = torch.empty(0, *self.spec.shape) if self.rows is None else self.rows["x"]
        index = torch.linspace(0, len(behind) - 1, min(BEHIND, len(behind))).round().long()
        return corner_grid(x, titles, behind[index], self.spec)


def corner_grid(
    x: Float[Tensor, "rows columns n d"], titles: Sequence[str], behind: Float[Tensor, "m d"], spec: DataSpec
) -> Image.Image:
    """Corner plots in rows and columns, all on the axes of the data `behind`; `titles` stand above the columns.

    On the diagonal are histograms, below it each two columns of the table, and on the outer axes their names and
    units. What is not known (NaN) is left out; of more than 6 columns the first are shown. Without any data axes reach
    three times the scale to either side of the mean, as far as there are values.
    """
    plot = Corner(spec, behind.double().cpu().numpy(), large=x.shape[1] <= FEW)
    panels = x.double().cpu().numpy()
    return tiled([[plot.draw(panel) for panel in row] for row in panels], titles)


@dataclass(frozen=True)
class Corner:
    """Corner plots of one size, over the same data."""

    spec: DataSpec
    behind: Rows
    large: bool

    def draw(self, x: Rows) -> Image.Image:
        """The plot as a picture."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        canvas: Any = FigureCanvasAgg(self.figure(x))
        canvas.draw()
        return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")

    def figure(self, x: Rows) -> "Figure":
        """The plot: one pair of axes, in pixels, for all panels, since a pair for each would take much longer."""
        from matplotlib.collections import LineCollection
        from matplotlib.figure import Figure

        width, height = (self._left + self._side + GAP, self._bottom + self._side + GAP)
        figure = Figure(figsize=(width / 100, height / 100), dpi=100)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, width), ylim=(0, height))
        axes.axis("off")
        clouds = {name: self._placed(rows) for name, rows in (("data", self.behind), ("samples", x)) if len(rows)}
        for name, cloud in clouds.items():
            size = min(3.0, max(1.0, 40 / len(cloud) ** 0.5)) * (1 if self.large else 0.6)
            axes.plot(*self._points(cloud).T, "o", ms=size, mew=0, alpha=0.6, color=COLOURS[name])
        self._histograms(axes, clouds)
        boxes = [self._corner(i, j) + self._cell * _SQUARE for i in range(self._count) for j in range(i + 1)]
        axes.add_collection(LineCollection(boxes, colors="#606060", linewidths=0.6))
        self._write(axes)
        return figure

    @property
    def _count(self) -> int:
        return min(SHOWN, self.spec.shape[0])

    @property
    def _cell(self) -> int:
        return 100 if self.large else 52

    @property
    def _side(self) -> int:
        return self._count * (self._cell + GAP) - GAP

    @property
    def _left(self) -> int:
        return LINE * self._lines + (28 if self.large else 3)

    @property
    def _bottom(self) -> int:
        return LINE * self._lines + (14 if self.large else 3)

    @cached_property
    def _labels(self) -> list[list[str]]:
        """The lines of each column's name and unit."""
        pairs = list(zip(self.spec.names, self.spec.units, strict=True))[: self._count]
        letters = self._cell // 6
        return [wrap(with_unit(name.replace("_", " "), unit), letters)[:3] for name, unit in pairs]

    @property
    def _lines(self) -> int:
        return max(map(len, self._labels))

    @cached_property
    def _limits(self) -> Rows:
        """(2, columns): where the axes begin and end, about the middle 99 % of the data."""
        if not len(self.behind):
            ends = torch.tensor([[-3.0], [3.0]], dtype=torch.float64).expand(2, *self.spec.shape)
            return np.asarray(self.spec.restore(ends)[:, : self._count])
        low, high = np.nanquantile(self.behind[:, : self._count], [0.005, 0.995], axis=0)
        margin = 0.12 * np.maximum(high - low, 1e-9 * np.maximum(abs(low), 1e-9))
        return np.stack([low - margin, high + margin])

    def _placed(self, rows: Rows) -> Rows:
        """(n, columns): from 0 to 1 along each axis; NaN beyond it."""
        low, high = self._limits
        u = (rows[:, : self._count] - low) / (high - low)
        return np.where((u >= 0) & (u <= 1), u, np.nan)

    def _corner(self, i: int, j: int) -> Rows:
        """The lower left corner of the panel in line i and column j."""
        step = self._cell + GAP
        return np.array([self._left + j * step, self._bottom + (self._count - 1 - i) * step], dtype=float)

    def _points(self, u: Rows) -> Rows:
        """The points of all panels below the diagonal."""
        pairs = [(i, j) for i in range(self._count) for j in range(i)]
        placed = [self._corner(i, j) + self._cell * u[:, [j, i]] for i, j in pairs]
        return np.concatenate(placed) if placed else np.empty((0, 2))

    def _histograms(self, axes: "Axes", clouds: dict[str, Rows]) -> None:
        edges = np.linspace(0, 1, 17 if self.large else 13)
        for i in range(self._count):
            counts = {name: np.histogram(u[:, i], edges)[0] / max(1, len(u)) for name, u in clouds.items()}
            top = max(1e-9, *(heights.max() for heights in counts.values())) / 0.92
            x, y = self._corner(i, i)
            for name, heights in counts.items():
                bars = y + self._cell * heights / top
                style: dict[str, Any] = {"fill": name == "data", "color": COLOURS[name], "lw": 1.2}
                axes.stairs(bars, x + self._cell * edges, baseline=y, **style)

    def _write(self, axes: "Axes") -> None:
        """Names and units on the outer axes, numbers where there is room, and what is shown in the free corner."""
        size = 7.0 if self.large else 6.0
        for k, lines in enumerate(self._labels):
            below, beside = self._corner(self._count - 1, k), self._corner(k, 0)
            text, middle = "\n".join(lines), self._cell / 2
            plain: dict[str, Any] = {"fontsize": size, "linespacing": 1.0, "parse_math": False}
            axes.text(below[0] + middle, self._bottom - (14 if self.large else 3), text, ha="center", va="top", **plain)
            if k:  # the first line holds a histogram, whose height is no value
                axes.text(1, beside[1] + middle, text, ha="left", va="center", rotation=90, **plain)
            if self.large:
                self._number(axes, k)
        if self._count > 1:
            self._legend(axes, size)

    def _number(self, axes: "Axes", k: int) -> None:
        from matplotlib.ticker import MaxNLocator

        low, high = self._limits[:, k]
        style: dict[str, Any] = {"fontsize": 6, "color": "#404040"}
        for value in MaxNLocator(3).tick_values(low, high):
            u = (value - low) / (high - low)
            if 0.04 < u < 0.96:
                place = self._corner(self._count - 1, k)[0] + self._cell * u
                axes.text(place, self._bottom - 2, f"{value:g}", ha="center", va="top", **style)
                if k:
                    place = self._corner(k, 0)[1] + self._cell * u
                    axes.text(self._left - 2, place, f"{value:g}", ha="right", va="center", **style)

    def _legend(self, axes: "Axes", size: float) -> None:
        right, top = self._left + self._side, self._bottom + self._side
        lines = {name: colour for name, colour in COLOURS.items() if name == "samples" or len(self.behind)}
        if self._count < self.spec.shape[0]:
            lines[f"{self._count} of {self.spec.shape[0]} columns"] = "#404040"
        for k, (text, colour) in enumerate(lines.items()):
            axes.text(right, top - k * LINE, text, ha="right", va="top", fontsize=size, color=colour)


_SQUARE: Rows = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]], dtype=float)
