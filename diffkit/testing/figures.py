"""The report as pictures: error against network calls, and the paths from noise to data in the plane."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from diffkit.core.sampler import Sampler
from diffkit.testing.accuracy import flow_error, steps_within, times
from diffkit.testing.contracts.walk import Quarter, ends, gaussian, mixture, run, start
from diffkit.testing.report import Row

CALLS = (5, 7, 10, 14, 20, 28, 40, 56, 80, 112, 160)
"""The numbers of network calls at which errors are drawn."""
PATHS, DRAWN, STEPS = 48, 12, 20
"""Rows, rows of a sampler that draws noise, and steps of the picture of paths."""
COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22")
STYLES = ("-", "--", ":")


def draw(rows: Sequence[Row], folder: Path) -> list[Path]:
    """Save `convergence.png` and `trajectories.png` of the samplers among the rows; gives the files."""
    folder.mkdir(parents=True, exist_ok=True)
    measured = [row for row in rows if row.figures and row.figures.calls]
    solved = [row for row in measured if row.figures and not row.figures.convergence.stochastic]
    pictures = {"convergence.png": (_convergence, solved), "trajectories.png": (_trajectories, _few(measured))}
    files = []
    for name, (picture, chosen) in pictures.items():
        if chosen:
            files.append(folder / name)
            picture(chosen).savefig(files[-1], dpi=110)
    return files


def _figure(width: float, height: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _convergence(rows: Sequence[Row]) -> Any:
    """A row of panels for each declared order, and a column for each problem."""
    orders = sorted({row.figures.declared for row in rows if row.figures})
    figure = _figure(11, 0.6 + 3.1 * len(orders))
    panels = figure.subplots(len(orders), 2, squeeze=False, sharex=True, sharey=True)
    for line, order in zip(panels, orders, strict=True):
        same = [row for row in rows if row.figures and row.figures.declared == order]
        for panel, oracle, title in zip(line, (gaussian(), mixture()), ("Gaussian, 64-D", "mixture, 2-D"), strict=True):
            for i, row in enumerate(same):
                assert row.figures
                points = _curve(row.figures.sampler, oracle)
                style = STYLES[i // len(COLOURS) % len(STYLES)]
                panel.loglog(*points, style, color=COLOURS[i % len(COLOURS)], lw=1.3, label=_label(row))
            panel.loglog(CALLS, [3.0 * (n / CALLS[0]) ** -order for n in CALLS], color="0.88", lw=5, zorder=0)
            panel.set_title(f"order {order}: {title}", fontsize=10)
            panel.set_ylim(1e-6, 3)
            panel.grid(True, which="major", color="0.92")
        line[1].legend(fontsize=7, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
        line[0].set_ylabel("relative error at t = 0")
    for panel in panels[-1]:
        panel.set_xlabel("network calls")
        panel.set_xticks([5, 10, 20, 50, 100], ["5", "10", "20", "50", "100"])
        panel.minorticks_off()
    return figure


def _label(row: Row) -> str:
    return str(row.setting).removeprefix("sampler=")


def _curve(sampler: Sampler, oracle: Any) -> tuple[list[int], list[float]]:
    """Calls and errors, where the sampler can be had with so few calls and its error is finite."""
    steps = {calls: steps_within(sampler, calls) for calls in CALLS}
    errors = {calls: flow_error(sampler, oracle, n) for calls, n in steps.items() if n}
    kept = {calls: e for calls, e in errors.items() if e < float("inf")}
    return list(kept), list(kept.values())


def _few(rows: Sequence[Row]) -> list[Row]:
    """At most four: of those without and of those with noise, one of the lowest and one of the highest order."""
    found = []
    for stochastic in (False, True):
        default = [row for row in rows if not row.setting.values]
        same = [row for row in default if row.figures and row.figures.convergence.stochastic == stochastic]
        ranked = sorted(same, key=lambda row: row.figures.declared if row.figures else 0)
        found += [row for i, row in enumerate(ranked) if i in (0, len(ranked) - 1)]
    return found


def _trajectories(rows: Sequence[Row]) -> Any:
    """The paths of the same noise under each sampler, of one size at all times, over the data's density."""
    figure = _figure(3.6 * len(rows), 4.0)
    place = torch.linspace(-3, 3, 121, dtype=torch.float64)
    square = (torch.cartesian_prod(place, place)[:, None] - mixture().means).square().sum(2)
    density = (-square / (2 * mixture().variance)).exp().sum(1).reshape(121, 121).T
    for panel, row in zip(figure.subplots(1, len(rows), squeeze=False)[0], rows, strict=True):
        assert row.figures
        panel.contourf(place, place, density, levels=12, cmap="Greys", alpha=0.5)
        path = _paths(row.figures.sampler, DRAWN if row.figures.convergence.stochastic else PATHS)
        for i in range(path.shape[1]):
            panel.plot(*path[:, i].T, color=COLOURS[i % len(COLOURS)], lw=0.8, alpha=0.8)
        panel.scatter(*path[0].T, s=5, color="0.4", lw=0)
        panel.scatter(*path[-1].T, s=12, color="black", lw=0, zorder=3)
        panel.set(xlim=(-3, 3), ylim=(-3, 3), aspect="equal", xticks=[], yticks=[])
        panel.set_title(f"{_label(row)}, {STEPS} steps", fontsize=10)
    return figure


def _paths(sampler: Sampler, rows: int) -> torch.Tensor:
    r"""$x_t / \sqrt{\alpha_t^2 + \sigma_t^2}$ at the grid's times: (times, rows, 2)."""
    grid, x = times(STEPS), start(rows, 2)
    states = run(sampler, Quarter(), grid, x, oracle=mixture())
    return torch.stack([x, *(s.x / torch.tensor(ends(Quarter(), s.t)).norm() for s in states)])
