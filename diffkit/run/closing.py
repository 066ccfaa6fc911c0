"""What a run leaves behind when training is over: a bundle, samples, pictures, figures."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from lightning.pytorch.loggers import Logger
from rich.console import Console
from torch import Tensor

from diffkit.compose.build import Parts
from diffkit.core.data import Data, rows_of
from diffkit.core.model import DiffusionModel
from diffkit.core.types import Batch
from diffkit.core.units import with_unit
from diffkit.run import films, pictures
from diffkit.run.captions import caption
from diffkit.run.evaluate import evaluate_model, table
from diffkit.run.folder import RunFolder
from diffkit.run.generate import Sampling, film, generate
from diffkit.run.records import Clip, Files, Pictures, Table, log
from diffkit.run.shards import as_array, described, write_npz

EMERGING = "samples emerging from noise"


def showcase(data: Data, keys: Sequence[str], rows: int) -> dict[str, Any]:
    """These columns for `rows` samples, as held-out rows have them: each class in turn, where rows have labels.

    One row stands for its class, so that the pictures of a class are under one caption.
    """
    test = data.reference("test")
    columns = {name: column for name, column in test.items() if name in keys}
    if not columns:
        return {}
    label = test.get("label")
    kinds = list(range(len(test["x"])))
    if isinstance(label, Tensor) and bool((label >= 0).any()):
        kinds = [int((label == value).nonzero()[0]) for value in sorted(set(label[label >= 0].tolist()))]
    return rows_of(columns, torch.tensor([kinds[i % len(kinds)] for i in range(rows)]))


def draw(
    data: Data, model: DiffusionModel, sampling: Sampling, folder: RunFolder, rows: int, seed: int
) -> dict[str, Any]:
    """Draw the final samples: `samples.npz`, `grid.png`, `strip.png`, `film.gif`.

    Gives the pictures, and a table of the first samples.
    """
    columns = showcase(data, sampling.reads(model), rows)
    x = generate(model, data.spec, sampling, columns, range(rows), seed)
    arrays = {name: as_array(column) for name, column in columns.items()}
    ids = np.arange(rows)
    own = {"x": x.numpy(), "id": ids, "seed": np.full_like(ids, seed)}
    write_npz(folder.samples / "samples.npz", {**arrays, **own, **described(data.spec)})
    stars = pictures.stars(data.spec, columns, rows)
    index = torch.tensor(stars)
    walked = film(model, data.spec, sampling, rows_of(columns, index), stars, seed)
    strip = pictures.strip(data, walked)
    grid = pictures.grid(data, x, columns)
    pictures.save(grid, folder.samples / "grid.png")
    pictures.save(strip, folder.samples / "strip.png")
    films.save(films.frames(data, walked), folder.samples / "film.gif")
    return {
        "grid": grid,
        "strip": strip,
        "film": folder.samples / "film.gif",
        "table": _table(data, x[:32], caption(columns, rows, data.spec.class_names), columns),
    }


def _table(data: Data, x: Tensor, captions: Sequence[str], told: Batch) -> Table:
    """Samples one by one, with what each was told: pictures; or numbers, where the data are a table's named columns."""
    spec = data.spec
    if spec.names and len(spec.shape) == 1:
        head, cells = list(map(with_unit, spec.names, spec.units)), x.tolist()
    else:
        lead = (1, 1) if len(spec.shape) > 1 else (1, 1, 1)
        head, shown = ["sample"], x.reshape(-1, *lead, *spec.shape)
        cells = [[pictures.drawn(data, row, told, torch.tensor([i]))] for i, row in enumerate(shown)]
    rows = [[i, text, *cell] for i, (text, cell) in enumerate(zip(captions, cells, strict=False))]
    return Table(["id", "condition", *head], rows)


def keep_pictures(loggers: Sequence[Logger], folder: RunFolder, drawn: Mapping[str, Any], step: int) -> None:
    """Write the pictures of a task that draws no samples, and give them to the loggers."""
    for name, picture in drawn.items():
        pictures.save(picture, folder.samples / f"{name}.png")
        log(loggers, name, Pictures([picture], ["of the averaged weights"]), step)


def show(loggers: Sequence[Logger], drawn: Mapping[str, Any], step: int) -> None:
    """Give the final pictures to the loggers."""
    log(loggers, "samples", Pictures([drawn["grid"]], ["samples of the averaged weights"]), step)
    log(loggers, "strip", Pictures([drawn["strip"]], [f"{EMERGING}: x_t, and the model's x_0"]), step)
    log(loggers, "film", Clip(drawn["film"], EMERGING), step)
    log(loggers, "table", drawn["table"], step)


def judge(
    parts: Parts, model: DiffusionModel, sampling: Sampling, loggers: Sequence[Logger], step: int, seed: int
) -> None:
    """Evaluate, log and print the metrics that the config names."""
    if not parts.metrics:
        return
    scores = evaluate_model(model, parts.data, sampling, parts.metrics, seed=seed)
    values = {f"{name}/{key}": score[key] for name, score in scores.items() for key in ("value", "real")}
    for logger in loggers:
        logger.log_metrics(values, step=step)
    Console().print(table(scores, "metrics of fresh samples"))


def keep_bundle(loggers: Sequence[Logger], folder: RunFolder, step: int) -> None:
    """Give the bundle to the loggers."""
    log(loggers, "bundle", Files(folder.bundle, "model"), step)
