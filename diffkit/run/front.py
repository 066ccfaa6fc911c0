"""A plot of quality against cost, with the points that no other one beats."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22")
STYLES = ("-", "--", ":")
_HEIGHT = 3.6
_LINE = 0.16
"""The height of a panel, and of a line of text in it, in inches."""


@dataclass(frozen=True)
class Curve:
    """Points that are joined by a line, in the order of what they are drawn against."""

    name: str
    points: Sequence[tuple[float, Mapping[str, float]]]
    """What each is drawn against, and its values by metric."""


@dataclass(frozen=True)
class Axis:
    """What values are drawn against, and whether it is a cost: then there is a front."""

    label: str
    cost: bool


def front(points: Sequence[tuple[float, float]], higher: bool | None) -> list[int]:
    """The places of the points (cost, value) than which no other is both as cheap and as good, the cheapest first.

    `higher` says whether more is better; None, that it is neither: there is no front then.
    """
    if higher is None:
        return []
    sign = -1 if higher else 1
    order = sorted((cost, sign * value, i) for i, (cost, value) in enumerate(points) if isfinite(value))
    best, found = float("inf"), list[int]()
    for _, value, i in order:
        if value < best:
            best = value
            found.append(i)
    return found


def draw(
    curves: Sequence[Curve],
    axis: Axis,
    better: Mapping[str, bool | None],
    real: Mapping[str, tuple[float, float]],
    path: Path,
) -> None:
    """Save a panel for each metric: its values, what real data get, and the front; the labels are beside it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height = max(_HEIGHT, _LINE * (len(curves) + 4))
    figure = Figure(figsize=(8.5, height * len(better)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(better), 1, squeeze=False)[:, 0]
    for panel, (name, higher) in zip(panels, better.items(), strict=True):
        _panel(panel, curves, name, higher, real[name])
        _along(panel, curves, axis)
        if axis.cost:
            _front(panel, [(x, v[name]) for curve in curves for x, v in curve.points], higher)
        if len(curves) > 1:
            _label(panel, curves, name, _LINE / height)
    figure.savefig(path, dpi=120)


def _panel(panel: Any, curves: Sequence[Curve], name: str, higher: bool | None, real: tuple[float, float]) -> None:
    values = [v[name] for curve in curves for _, v in curve.points] + [real[0]]
    if not higher and min(values) > 0 and max(values) > 4 * min(values):
        panel.set_yscale("log")
    mean, deviation = real
    panel.axhspan(mean - deviation, mean + deviation, color="0.9", lw=0)
    panel.axhline(mean, color="0.5", lw=1, ls=(0, (4, 3)))
    panel.annotate(
        "real data",
        (0.01, mean),
        xycoords=("axes fraction", "data"),
        fontsize=8,
        color="0.35",
        va="top" if higher else "bottom",
    )
    for curve, style in zip(curves, _styles(len(curves)), strict=True):
        panel.plot(*zip(*((c, v[name]) for c, v in curve.points), strict=True), ms=4, lw=1.3, marker="o", **style)
    way = {True: ", higher is better", False: ", lower is better", None: ""}[higher]
    panel.set_ylabel(f"{name}{way}")
    panel.grid(True, which="major", color="0.92")
    panel.set_axisbelow(True)


def _along(panel: Any, curves: Sequence[Curve], axis: Axis) -> None:
    panel.set_xlabel(axis.label)
    places = sorted({x for curve in curves for x, _ in curve.points})
    if places[0] <= 0:
        return
    panel.set_xscale("log")
    ticks = places[:1]
    for x in places:
        if x > 1.12 * ticks[-1]:
            ticks.append(x)
    panel.set_xticks(ticks, [f"{x:.4g}" for x in ticks])
    panel.minorticks_off()


def _front(panel: Any, points: Sequence[tuple[float, float]], higher: bool | None) -> None:
    best = [points[i] for i in front(points, higher)]
    if not best:
        return
    x, y = zip(*[*best, (panel.get_xlim()[1], best[-1][1])], strict=True)
    panel.set_xlim(panel.get_xlim())
    panel.step(x, y, where="post", color="gold", alpha=0.5, lw=5, zorder=1)
    panel.plot(x[:-1], y[:-1], "o", ms=9, mfc="none", mec="goldenrod", mew=1.5, zorder=4)
    panel.annotate(
        "Pareto front", best[0], (9, 5), textcoords="offset points", fontsize=8, color="darkgoldenrod", zorder=5
    )


def _styles(n: int) -> list[dict[str, str]]:
    return [{"color": COLOURS[i % len(COLOURS)], "ls": STYLES[i // len(COLOURS) % len(STYLES)]} for i in range(n)]


def _label(panel: Any, curves: Sequence[Curve], name: str, line: float) -> None:
    """Each curve's name to the right of the panel, at the height of its end or as near as there is room."""
    to_axes = panel.transData + panel.transAxes.inverted()
    ends = [to_axes.transform((c.points[-1][0], c.points[-1][1][name])) for c in curves]
    places = _spread([float(y) for _, y in ends], line)
    for curve, style, (x, y), place in zip(curves, _styles(len(curves)), ends, places, strict=True):
        panel.annotate(
            curve.name or "the run's own choices",
            (x, y),
            (1.03, place),
            xycoords="axes fraction",
            textcoords="axes fraction",
            fontsize=8,
            color=style["color"],
            va="center",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": style["color"], "lw": 0.5, "alpha": 0.5},
        )


def _spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Places in the order of the wanted ones and near them, at least `gap` apart, around the middle of the panel."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    places = [0.0] * len(wanted)
    below = -float("inf")
    for i in order:
        below = places[i] = max(wanted[i], below + gap)
    above = 1.0
    for i in reversed(order):
        places[i] = min(places[i], above)
        above = places[i] - gap
    return places
