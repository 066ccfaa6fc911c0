"""Evaluating: fresh samples against held-out data, each figure beside what real rows get in the samples' place."""

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
from diffkit.core.metric import SampleMetric
from diffkit.core.model import DiffusionModel
from diffkit.core.noise import generator
from diffkit.core.types import Batch
from diffkit.run.folder import write_text
from diffkit.run.generate import Sampling, Watch, generate
from diffkit.run.progress import progress
from diffkit.run.saved import open_run

LIMIT = 1000
DRAWS = 16

Scores = dict[str, dict[str, float]]
"""By metric: `value` of the samples; `real` and `real_sd`, mean and deviation of real rows in their place."""


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
    test = data.reference("test")
    asked = _asked(test, n, seed)
    given = {name: column for name, column in asked.items() if name in model.conditioners.keys}
    rows = len(asked["x"])
    x = generate(model, data.spec, sampling, given, range(rows), seed, batch_size=batch_size, watch=watch)
    real = [_own(data, batch) for batch in _draws(data.reference("train"), asked)]
    scores: Scores = {}
    for name, metric in metrics.items():
        if not isinstance(metric, SampleMetric):
            raise DiffkitError(f"metric={name} is no SampleMetric: its class must implement diffkit.core.SampleMetric")
        if metric.conditional and not given:
            continue
        beside = real if metric.real == "train" else [_own(data, test)]
        values = torch.tensor([_value(metric, batch) for batch in beside], dtype=torch.float64)
        mean, deviation = values.mean().item(), values.std(correction=0).item()
        scores[name] = {"value": _value(metric, {**asked, "x": x}), "real": mean, "real_sd": deviation}
    return scores


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


def evaluate(cfg: DictConfig) -> Scores:
    """`diffkit evaluate`: print the scores of a saved run and write them to `evaluation.json` in `out` or its folder.

    Raises `DiffkitError` if there is no run, or if a metric does not suit its data.
    """
    asked: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    saved = open_run(asked["run"])
    n, seed, batch_size = asked["n"], asked["seed"], asked["batch_size"]
    if (n is not None and n < 2) or batch_size < 1:
        raise DiffkitError(f"n={n} batch_size={batch_size}: give at least 2 samples, and 1 in a batch")
    sampling, data = Sampling(*build_sampling(asked)), saved.data()
    sampling.check(saved.model)
    metrics = build_metrics(asked, data, seed)
    if not metrics:
        raise DiffkitError("there is no metric: choose some with metric=[...]")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rows = count(data, n)
    with progress(rows, sampling.grid.steps) as watch:
        model = saved.model.to(device)
        sampling = sampling.fitted(model, data.spec)
        scores = evaluate_model(model, data, sampling, metrics, rows, seed, batch_size, watch)
    Console().print(table(scores, f"{rows} samples of {saved.folder}"))
    choices = {name: asked[name] for name in ("sampler", "grid", "guidance")}
    content = {"n": rows, "seed": seed, **choices, "scores": scores}
    folder = Path(asked["out"]).expanduser() if asked.get("out") else saved.folder
    write_text(folder / "evaluation.json", json.dumps(content, indent=2) + "\n")
    return scores


def _asked(test: Batch, n: int | None, seed: int) -> dict[str, Any]:
    """`n` held-out rows in a random order that depends on the seed; all of them before one comes again."""
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
        pools = [((label.cpu() == c).nonzero()[:, 0], int(k)) for c, k in zip(classes, counts, strict=True)]
    drawn = []
    for draw in range(DRAWS):
        stream = generator("real", draw)
        index = [pool[torch.randperm(max(len(pool), k), generator=stream)[:k] % len(pool)] for pool, k in pools]
        drawn.append(rows_of(train, torch.cat(index)))
    return drawn


def _own(data: Data, batch: Batch) -> dict[str, Any]:
    """A batch in the data's own units."""
    return {**batch, "x": data.spec.restore(batch["x"])}


def _value(metric: Any, batch: Batch) -> float:
    metric.distributed_available_fn = _alone
    metric.reset()
    metric.update(batch["x"], {name: column for name, column in batch.items() if name != "x"})
    return float(metric.compute())


def _alone() -> bool:
    """Whether a metric has to be put together from several devices: the samples are all on this one."""
    return False
