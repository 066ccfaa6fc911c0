"""Evaluating: fresh samples against held-out data, each figure beside what real rows get in the samples' place.

Metrics of the model itself are measured on the rows, without samples (`diffkit.run.measure`).
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.table import Table
from torch import Tensor

from diffkit.compose.build import build_metrics, build_sampling
from diffkit.core.data import Data, rows_of
from diffkit.core.errors import DiffkitError
from diffkit.core.metric import ModelMetric, SampleMetric, figures
from diffkit.core.model import DiffusionModel
from diffkit.core.noise import generator
from diffkit.core.types import Batch
from diffkit.run.folder import write_text
from diffkit.run.generate import Sampling, Watch, generate
from diffkit.run.measure import measure_run
from diffkit.run.progress import progress
from diffkit.run.rows import read_rows
from diffkit.run.saved import open_run

LIMIT = 1000
DRAWS = 16

Scores = dict[str, dict[str, float]]
"""By figure, `metric` or `metric/name`: `value` of the samples; `real` and `real_sd`, mean and deviation of real rows
in their place."""


def evaluate_model(
    model: DiffusionModel,
    data: Data,
    sampling: Sampling,
    metrics: Mapping[str, Any],
    n: int | None = None,
    seed: int = 0,
    batch_size: int = 512,
    watch: Watch | None = None,
) -> Scores:
    """Draw `n` samples (None: as many as there are held-out rows, at most 1000) and judge them.

    Each is asked to be what one held-out row is: it is given that row's own conditions. Metrics of what was asked for
    are left out for an unconditional model. Each metric's value for real rows comes from as many rows of the training
    split, of the same classes, drawn 16 times; or from all held-out rows, where the metric compares with them.
    """
    asked = asked_rows(data, n, seed)
    given = {name: column for name, column in asked.items() if name in sampling.reads(model)}
    suited = suiting(metrics, bool(given))
    rows = len(asked["x"])
    x = generate(model, data.spec, sampling, given, range(rows), seed, batch_size=batch_size, watch=watch)
    return judge(suited, {**asked, "x": x}, real_scores(suited, data, asked))


def suiting(metrics: Mapping[str, Any], conditional: bool) -> dict[str, Any]:
    """Those of the metrics that judge what was drawn; raises `DiffkitError` for one that judges no samples at all."""
    for name, metric in metrics.items():
        if isinstance(metric, ModelMetric):
            raise DiffkitError(f"metric={name} measures a model and no samples: use diffkit evaluate metric=[{name}]")
        if not isinstance(metric, SampleMetric):
            raise DiffkitError(f"metric={name} is no SampleMetric: its class must implement diffkit.core.SampleMetric")
    return {name: metric for name, metric in metrics.items() if conditional or not metric.conditional}


def real_scores(metrics: Mapping[str, Any], data: Data, asked: Batch) -> Scores:
    """What real rows get in the place of the samples that are asked for."""
    scores: Scores = {}
    draws = [data.spec.own(batch) for batch in _draws(data.reference("train"), asked)]
    for name, metric in metrics.items():
        beside = draws if metric.real == "train" else [data.spec.own(data.reference("test"))]
        found = [_figures(name, metric, batch) for batch in beside]
        for figure in found[0]:
            values = torch.tensor([one[figure] for one in found], dtype=torch.float64)
            scores[figure] = {"real": values.mean().item(), "real_sd": values.std(correction=0).item()}
    return scores


def judge(metrics: Mapping[str, Any], drawn: Batch, real: Scores) -> Scores:
    """The figures of each metric for samples, in the data's own units, beside those of real rows."""
    return {
        figure: {"value": value, **real[figure]}
        for name, metric in metrics.items()
        for figure, value in _figures(name, metric, drawn).items()
    }


def count(data: Data, n: int | None = None) -> int:
    """How many samples `evaluate_model` draws."""
    return min(len(data.reference("test")["x"]), LIMIT) if n is None else n


def table(scores: Scores, title: str) -> Table:
    """The scores as a table for the terminal."""
    shown = Table(title=title, title_justify="left")
    for column in ("metric", "samples", "real data", "± sd"):
        shown.add_column(column, justify="left" if column == "metric" else "right")
    for name, score in scores.items():
        deviation = f"{score['real_sd']:.4f}" if score["real_sd"] else ""
        shown.add_row(name, f"{score['value']:.4f}", f"{score['real']:.4f}", deviation)
    return shown


def evaluate(cfg: DictConfig) -> dict[str, Any]:
    """`diffkit evaluate`: print the figures of a saved run and write them to `evaluation.json` in `out` or its folder.

    Samples are drawn if a metric judges samples; metrics of the model itself take as many held-out rows, or those of a
    file. Gives the figures by metric. Raises `DiffkitError` if there is no run, if a metric does not suit its data, or
    for a file whose rows are none of these data.
    """
    asked: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    saved = open_run(asked["run"], asked.get("ema"))
    n, seed, batch_size = asked["n"], asked["seed"], asked["batch_size"]
    if (n is not None and n < 2) or batch_size < 1:
        raise DiffkitError(f"n={n} batch_size={batch_size}: give at least 2 samples, and 1 in a batch")
    data = saved.data(asked.get("data"))
    judges, meters = _parted(build_metrics(asked, data, seed), asked.get("file"))
    sampling = Sampling(*build_sampling(asked, saved.spec, saved.model.codec)) if judges else None
    if sampling is not None:
        sampling.check(saved.model)
    given = read_rows(asked["file"], saved.spec) if asked.get("file") else None
    model = saved.model.to("cuda" if torch.cuda.is_available() else "cpu")
    rows = count(data, n) if given is None else len(given["x"])
    content: dict[str, Any] = {"n": rows, "seed": seed, "ema": asked.get("ema"), "metric": asked["metric"]}
    scores: dict[str, Any] = {}
    if sampling is not None:
        with progress(content["n"], sampling.grid.steps) as watch:
            sampling = sampling.fitted(model, data.spec)
            scores |= evaluate_model(model, data, sampling, judges, content["n"], seed, batch_size, watch)
        Console().print(table(scores, f"{content['n']} samples of {saved.folder}"))
        content |= {name: asked[name] for name in ("sampler", "grid", "guidance")}
    if meters:
        measured = data.spec.own(asked_rows(data, n, seed)) if given is None else given
        content |= {"rows": asked.get("file") or "held out"}
        scores |= measure_run(model, saved.spec, meters, measured, seed, batch_size, str(saved.folder))
    folder = Path(asked["out"]).expanduser() if asked.get("out") else saved.inside()
    write_text(folder / "evaluation.json", json.dumps({**content, "scores": scores}, indent=2) + "\n")
    return scores


def _parted(metrics: Mapping[str, Any], file: str | None) -> tuple[dict[str, Any], dict[str, ModelMetric]]:
    """The metrics of samples, and those of the model itself; raises `DiffkitError` for a choice that cannot be."""
    if not metrics:
        raise DiffkitError("there is no metric: choose some with metric=[...]")
    meters = {name: metric for name, metric in metrics.items() if isinstance(metric, ModelMetric)}
    judges = {name: metric for name, metric in metrics.items() if name not in meters}
    if file and judges:
        raise DiffkitError(f"file={file} is for metrics of the model itself; leave out {', '.join(judges)}")
    return judges, meters


def asked_rows(data: Data, n: int | None, seed: int) -> dict[str, Any]:
    """`n` held-out rows in a random order that depends on the seed; all of them before one comes again."""
    test = data.reference("test")
    rows = len(test["x"])
    order = torch.randperm(rows, generator=generator("evaluate", seed))
    wanted = torch.arange(min(rows, LIMIT) if n is None else n) % rows
    return rows_of(test, order[wanted])


def _draws(train: Batch, asked: Batch) -> list[dict[str, Any]]:
    """Training rows of the classes that were asked for, drawn several times; none twice as long as there are enough."""
    label = train.get("label")
    pools = [(torch.arange(len(train["x"])), len(asked["x"]))]
    if isinstance(label, Tensor) and isinstance(asked.get("label"), Tensor):
        classes, counts = torch.unique(asked["label"].cpu(), return_counts=True)
        pools = [(_pool(label.cpu(), int(c)), int(k)) for c, k in zip(classes, counts, strict=True)]
    drawn = []
    for draw in range(DRAWS):
        stream = generator("real", draw)
        index = [pool[torch.randperm(max(len(pool), k), generator=stream)[:k] % len(pool)] for pool, k in pools]
        drawn.append(rows_of(train, torch.cat(index)))
    return drawn


def _pool(label: Tensor, wanted: int) -> Tensor:
    """The rows of a class; all rows where there is none that can stand for it, as for rows without a label."""
    rows = (label == wanted).nonzero()[:, 0]
    return rows if len(rows) else torch.arange(len(label))


def _figures(name: str, metric: Any, batch: Batch) -> dict[str, float]:
    metric.distributed_available_fn = _alone
    metric.reset()
    metric.update(batch["x"], {name: column for name, column in batch.items() if name != "x"})
    return figures(name, metric.compute())


def _alone() -> bool:
    """Whether a metric has to be put together from several devices: the samples are all on this one."""
    return False
