"""`diffkit compare`: what samplers, grids, guidances and averages are worth on one run, and what they cost."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

from diffkit.compose.build import build_metrics, build_sampling
from diffkit.compose.points import Point, points
from diffkit.core.data import Data
from diffkit.core.errors import DiffkitError, RunFailed
from diffkit.run.clock import measured
from diffkit.run.comparison import Line, show
from diffkit.run.evaluate import asked_rows, judge, real_scores, suiting
from diffkit.run.generate import Sampling
from diffkit.run.ledger import Ledger, Record
from diffkit.run.progress import progress
from diffkit.run.saved import Saved, open_run

LISTED = ("sampler", "grid", "guidance", "ema")
"""What may differ from point to point."""


@dataclass(frozen=True)
class Job:
    """A point that can be drawn."""

    point: Point
    sampling: Sampling
    ema: float | None
    settings: dict[str, Any]
    """Everything that its figures depend on, as plain values."""

    @property
    def key(self) -> str:
        """A name for the settings."""
        return sha256(json.dumps(self.settings, sort_keys=True).encode()).hexdigest()[:16]


def compare(arguments: Sequence[str]) -> int:
    """Score every combination of the lists in `arguments`, show and write a table and a plot; the exit status.

    Every point is composed and checked first. Each is a line of `compare.jsonl` as soon as it is done, and the same
    command goes on from there; a point that fails is in the table with its sentence. The status is 0, or 3 if a point
    failed. Raises `DiffkitError` if there is nothing that can be drawn.
    """
    found = points("compare", arguments, LISTED)
    if not found:
        return 0
    composed = [point for point in found if point.config is not None]
    if not composed:
        raise found[0].error or DiffkitError("there is nothing to compare")
    asked = _plain(composed[0])
    saved = open_run(asked["run"])
    data = saved.data(asked["data"])
    metrics = _metrics(asked, data)
    jobs = [_prepared(point, saved) for point in found]
    ready = [job for job in jobs if isinstance(job, Job)]
    if not ready:
        raise next(job.error for job in jobs if isinstance(job, Point) and job.error)
    metrics = suiting(metrics, any(set(job.sampling.reads(saved.model)) & set(data.spec.conditions) for job in ready))
    out = Path(asked["out"]).expanduser() if asked.get("out") else saved.inside("compare")
    records, failed = _run(ready, asked, data, metrics, Ledger(out))
    lines = [_line(job, records, failed) for job in jobs]
    show(lines, _better(lines, metrics), asked, saved.folder, out)
    return RunFailed.status if any(line.error for line in lines) else 0


def _better(lines: Sequence[Line], metrics: Mapping[str, Any]) -> dict[str, bool | None]:
    """By figure, `metric` or `metric/name`: whether higher is better, lower, or neither (None)."""
    named = next((list(line.record.scores) for line in lines if line.record), list(metrics))
    owners = {figure: next(m for m in metrics if figure == m or figure.startswith(f"{m}/")) for figure in named}
    return {figure: getattr(metrics[name], "higher_is_better", None) for figure, name in owners.items()}


def _plain(point: Point) -> dict[str, Any]:
    values: dict[str, Any] = OmegaConf.to_container(point.config, resolve=True)  # type: ignore[assignment]
    return values


def _metrics(asked: Mapping[str, Any], data: Data) -> dict[str, Any]:
    if asked["n"] is not None and asked["n"] < 2:
        raise DiffkitError(f"n={asked['n']}: give at least 2 samples")
    metrics = build_metrics(asked, data, asked["seed"])
    if not metrics:
        raise DiffkitError("there is no metric: choose some with metric=[...]")
    return metrics


def _prepared(point: Point, saved: Saved) -> Job | Point:
    """A point that is known to suit the run, or what is wrong with it."""
    if point.config is None:
        return point
    asked = _plain(point)
    try:
        sampling = Sampling(*build_sampling(asked, saved.spec, saved.model.codec))
        sampling.check(saved.model)
        if asked["ema"] is not None:
            saved.snapshots().shares(asked["ema"])
    except DiffkitError as error:
        return Point(point.choice, error=error)
    settings = {name: asked[name] for name in (*LISTED, "n", "seed", "metric", "data")}
    made = {"run": str(saved.config["diffkit"]["sha256"]), "device": _device()}
    return Job(point, sampling, asked["ema"], settings | made)


def _device() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


def _run(
    jobs: Sequence[Job], asked: Mapping[str, Any], data: Data, metrics: Mapping[str, Any], book: Ledger
) -> tuple[dict[str, Record], dict[str, str]]:
    """Draw and score what is not done yet; gives the records, and what went wrong, by the jobs' keys."""
    records, failed = book.read(), dict[str, str]()
    todo = {job.key: job for job in jobs if job.key not in records}
    done = len({job.key for job in jobs}) - len(todo)
    if done:
        print(f"{done} of {done + len(todo)} points are in {book.path} already", file=sys.stderr)
    rows = asked_rows(data, asked["n"], asked["seed"])
    real = real_scores(metrics, data, rows) if todo else {}
    for number, (job, saved) in enumerate(_by_average(list(todo.values()), asked["run"]), 1):
        print(f"[{number}/{len(todo)}] {job.point}", file=sys.stderr)
        try:
            records[job.key] = _score(job, saved, data, rows, metrics, real, asked)
            book.add(job.key, records[job.key], job.settings)
        except Exception as error:
            failed[job.key] = str(error) if isinstance(error, DiffkitError) else f"{type(error).__name__}: {error}"
            print(f"failed: {failed[job.key]}", file=sys.stderr)
    return records, failed


def _by_average(jobs: Sequence[Job], run: str) -> Iterator[tuple[Job, Saved]]:
    """The jobs with the run under each one's average, which is made once for all that share it."""
    for ema in dict.fromkeys(job.ema for job in jobs):
        saved = open_run(run, ema)
        saved.model.to("cuda" if torch.cuda.is_available() else "cpu")
        for job in jobs:
            if job.ema == ema:
                yield job, saved


def _score(
    job: Job,
    saved: Saved,
    data: Data,
    rows: Mapping[str, Any],
    metrics: Mapping[str, Any],
    real: Mapping[str, dict[str, float]],
    asked: Mapping[str, Any],
) -> Record:
    sampling = job.sampling.fitted(saved.model, saved.spec)
    with progress(len(rows["x"]), sampling.grid.steps, sys.stdout.isatty()) as watch:
        drawn = measured(saved.model, saved.spec, sampling, rows, asked["seed"], asked["batch_size"], watch)
    scores = judge(metrics, {**rows, "x": drawn.x}, dict(real))
    return Record(drawn.calls, drawn.rows, drawn.seconds, scores)


def _line(job: Job | Point, records: Mapping[str, Record], failed: Mapping[str, str]) -> Line:
    if isinstance(job, Point):
        return Line(job.choice, None, str(job.error))
    return Line(job.point.choice, records.get(job.key), failed.get(job.key))
