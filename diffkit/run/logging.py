"""The loggers that a config names: every figure in a file, and Weights & Biases."""

import csv
from collections.abc import Mapping, Sequence
from io import StringIO
from math import isnan
from os import SEEK_END
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger

from diffkit.compose.foreign import maker
from diffkit.run.folder import RunFolder, write_text
from diffkit.run.records import Content, Histogram, Recorder, RunInfo, log
from diffkit.run.wandb import Wandb

__all__ = ["Csv", "Wandb", "build_loggers", "record"]


def build_loggers(nodes: Mapping[str, Any], info: RunInfo) -> list[Logger]:
    """The loggers of a config by name; ours are told of the run, Lightning's write into its folder.

    Raises `DiffkitError` if one cannot be built.
    """
    loggers: list[Logger] = []
    for name, node in nodes.items():
        make = maker(f"logger.{name}", node)
        ours = issubclass(make.func, Recorder)
        beside = {} if ours or "save_dir" in node else {"save_dir": str(info.folder.path)}
        loggers.append(make(info=info) if ours else make(**beside))
    return loggers


def record(
    nodes: Mapping[str, Any], out: Path, name: str, config: Mapping[str, Any], contents: Mapping[str, Content]
) -> None:
    """Give what a command made in `out` to the loggers of its config; each time is a run of its own to them."""
    folder = RunFolder(out)
    (folder.wandb / "id").unlink(missing_ok=True)
    loggers = build_loggers(nodes, RunInfo(folder, name, dict(config)))
    for key, content in contents.items():
        log(loggers, key, content, 0)
    for logger in loggers:
        if isinstance(logger, Recorder):
            logger.close(0)


class Csv(Recorder):
    """`metrics.csv`: a line for each step at which something was logged, a column for each figure.

    The file is whole after every line. A resumed run takes the lines away that it will write again.
    """

    def __init__(self, info: RunInfo) -> None:
        super().__init__()
        self._path = info.folder.metrics
        self._columns, rows = _read(self._path)
        self._last: dict[str, Any] = {}
        self._place = 0
        if rows:
            self._write([row for row in rows if int(row["step"]) <= info.step])

    @property
    def name(self) -> str:
        """Lightning's word for it."""
        return "csv"

    @property
    def version(self) -> str:
        """There is one file for a run."""
        return ""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Add a line, or add to the last one if it is of the same step."""
        values = {name: value for name, value in metrics.items() if name != "epoch" and not isnan(value)}
        row = {"step": step or 0, **values}
        again = self._last.get("step") == row["step"]
        row = {**self._last, **row} if again else row
        fresh = [name for name in row if name not in self._columns]
        if fresh:
            self._columns += fresh
            rows = _read(self._path)[1]
            self._write(rows[:-1] if again else rows)
        with self._path.open("r+", newline="", encoding="utf-8") as file:
            self._place = file.seek(*(self._place, 0) if again and not fresh else (0, SEEK_END))
            csv.DictWriter(file, self._columns, restval="").writerow(row)
            file.truncate()
        self._last = row

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: `config.yaml` has them."""

    def record(self, name: str, content: Content, step: int) -> None:
        """A histogram becomes a column for each bin, named by the bin's middle."""
        if isinstance(content, Histogram):
            middles = [(a + b) / 2 for a, b in zip(content.edges, content.edges[1:], strict=False)]
            self.log_metrics({f"{name}/{m:g}": v for m, v in zip(middles, content.values, strict=True)}, step)

    def close(self, status: int) -> None:
        """Nothing: the file is whole."""

    def _write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        text = StringIO(newline="")
        writer = csv.DictWriter(text, self._columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
        write_text(self._path, text.getvalue())


def _read(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    if not path.is_file():
        return [], []
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
        return list(reader.fieldnames or []), rows
