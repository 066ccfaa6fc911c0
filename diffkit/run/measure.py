"""Measuring a model on real rows, without samples."""

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from diffkit.core.data import DataSpec, rows_of
from diffkit.core.errors import DiffkitError
from diffkit.core.metric import Measured, ModelMetric
from diffkit.core.model import DiffusionModel
from diffkit.core.types import Batch
from diffkit.run.generate import evaluating


def measure(
    model: DiffusionModel,
    spec: DataSpec,
    metrics: Mapping[str, ModelMetric],
    rows: Batch,
    seed: int = 0,
    batch_size: int = 64,
    watch: Callable[[int], None] | None = None,
) -> dict[str, Measured]:
    """The figures of each metric for the rows, whose `x` is in the data's own units; row i has i for its id.

    `watch` is told of the number of rows that a metric is done with, after each batch. Raises `DiffkitError` for rows
    with values that are not there.
    """
    count, found = len(rows["x"]), {}
    lacking = int(rows["x"].isnan().flatten(1).any(1).sum())
    if lacking:
        raise DiffkitError(
            f"{lacking} of {count} rows have values that are not there, and metric=[{','.join(metrics)}] is of whole "
            "rows: give a file of some, or choose metrics that judge samples"
        )
    with evaluating(model):
        for name, metric in metrics.items():
            metric.reset()  # type: ignore[attr-defined]  # of torchmetrics
            for first in range(0, count, batch_size):
                index = torch.arange(first, min(first + batch_size, count))
                metric.update(model, spec, rows_of(rows, index), index.tolist(), seed)
                if watch is not None:
                    watch(len(index))
            found[name] = metric.compute()
    return found


def measure_run(
    model: DiffusionModel,
    spec: DataSpec,
    metrics: Mapping[str, ModelMetric],
    rows: Batch,
    seed: int,
    batch_size: int,
    title: str,
) -> dict[str, Any]:
    """Measure with a bar that counts rows, print the figures, and give them as JSON values."""
    count = len(rows["x"])
    with Progress() as bar:
        task = bar.add_task("measuring", total=count * len(metrics))
        own = {**rows, "x": rows["x"].double()}
        found = measure(model, spec, metrics, own, seed, batch_size, lambda done: bar.advance(task, done))
    Console().print(measured_table(found, f"{count} rows, under {title}"))
    return plain(found)


def plain(found: Mapping[str, Measured]) -> dict[str, Any]:
    """What was found as JSON values; null where a number is not known."""
    return {
        name: {key: _known(figure._asdict()) for key, figure in one.figures.items()} | {"detail": _known(one.detail)}
        for name, one in found.items()
    }


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    known = {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in values.items()}
    json.dumps(known, allow_nan=False)  # a metric of somebody's may hold what is no JSON
    return known


def measured_table(found: Mapping[str, Measured], title: str) -> Table:
    """The figures as a table for the terminal."""
    shown = Table(title=title, title_justify="left")
    for column in ("metric", "figure", "value", "± standard error"):
        shown.add_column(column, justify="left" if column in ("metric", "figure") else "right")
    for name, one in found.items():
        for i, (key, figure) in enumerate(one.figures.items()):
            error = "" if math.isnan(figure.error) else f"{figure.error:.4f}"
            shown.add_row("" if i else name, key, f"{figure.value:.4f}", error)
    return shown
