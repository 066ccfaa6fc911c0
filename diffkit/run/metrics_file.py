"""`metrics.csv`: the record of every figure of a run."""

import csv
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from math import isnan
from pathlib import Path
from typing import Any

from diffkit.core.errors import DiffkitError
from diffkit.run.folder import write_bytes
from diffkit.run.records import Content, Histogram, Recorder, RunInfo


class Csv(Recorder):
    """`metrics.csv`: a line for each step at which something was logged, a column for each figure.

    The file is whole after every line. A resumed run takes the lines away that it will write again, and those that a
    crash left damaged. What cannot be written, as on a full disk, is kept and written with the next line: the run goes
    on.
    """

    def __init__(self, info: RunInfo) -> None:
        super().__init__()
        self._path = info.folder.metrics
        self._columns: list[str] = []
        self._tail: list[dict[str, Any]] = []
        """The lines that may still change: the last one, and what could not be written."""
        self._before = 0
        """How many lines stand before them, and how many bytes."""
        self._place = self._end = 0
        self._written = True
        found = read(self._path)
        if found.damaged:
            _set_aside(self._path, found.damaged)
        rows = [row for row in found.rows if int(row["step"]) <= info.step]
        if rows:
            self._columns, self._before = found.columns, len(rows) - 1
            self._place = _rewrite(self._path, self._columns, rows[:-1])
            self._tail = [dict(rows[-1])]
            self._write()

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
        row = {"step": step or 0, **{n: value for n, value in metrics.items() if n != "epoch" and not isnan(value)}}
        if self._tail and int(self._tail[-1]["step"]) == row["step"]:
            self._tail[-1].update(row)
        else:
            if self._written:
                self._before, self._place, self._tail = self._before + len(self._tail), self._end, []
            self._tail.append(row)
        self._write()

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: `config.yaml` has them."""

    def record(self, name: str, content: Content, step: int) -> None:
        """A histogram becomes a column for each bin, named by the bin's middle."""
        if isinstance(content, Histogram):
            middles = [(a + b) / 2 for a, b in zip(content.edges, content.edges[1:], strict=False)]
            self.log_metrics({f"{name}/{m:g}": v for m, v in zip(middles, content.values, strict=True)}, step)

    def close(self, status: int) -> None:
        """Try again what could not be written."""
        if not self._written:
            self._write()

    def _write(self) -> None:
        try:
            columns = list(dict.fromkeys([*self._columns, *(name for row in self._tail for name in row)]))
            if columns != self._columns:
                rows = read(self._path).rows[: self._before]
                self._place = _rewrite(self._path, columns, rows)
                self._columns = columns
            with self._path.open("r+b") as file:
                file.seek(self._place)
                file.write(_lines(columns, self._tail))
                file.truncate()
                self._end = file.tell()
        except (OSError, DiffkitError) as error:
            if self._written:
                print(
                    f"Warning: {self._path} cannot be written: {error}; its lines are kept for later", file=sys.stderr
                )
            self._written = False
        else:
            self._written = True


@dataclass(frozen=True)
class Lines:
    """What a file of figures holds."""

    columns: list[str]
    rows: list[dict[str, str]]
    """The whole lines; each names its step."""
    damaged: int
    """How many others there are, beside a last one that was not ended."""


def read(path: Path) -> Lines:
    """The whole lines of a file of figures; none if there is no file."""
    if not path.is_file():
        return Lines([], [], 0)
    text = path.read_bytes().decode("utf-8", errors="replace")
    whole = text[: text.rfind("\n") + 1]  # a run that was killed left the rest
    header, *lines = list(csv.reader(StringIO(whole.replace("\0", "\ufffd"), newline=""))) or [[]]
    if not header or header[0] != "step" or len(set(header)) != len(header):
        return Lines([], [], len(lines) + bool(header))
    good = [dict(zip(header, line, strict=True)) for line in lines if _is_whole(line, len(header))]
    return Lines(header, good, len(lines) - len(good))


def _is_whole(line: Sequence[str], size: int) -> bool:
    if len(line) != size or not line[0].isdecimal():
        return False
    try:
        return bool([float(value) for value in line if value])
    except ValueError:
        return False


def _set_aside(path: Path, lines: int) -> None:
    aside = path.with_name(f"{path.stem}-damaged{path.suffix}")
    path.replace(aside)
    print(f"Warning: {lines} lines of {path} are damaged and left out; the file as it was is {aside}", file=sys.stderr)


def _rewrite(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> int:
    """Write the file anew, in one step, and give its size."""
    content = _lines(columns, [dict(zip(columns, columns, strict=True)), *rows])
    write_bytes(path, content)
    return len(content)


def _lines(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> bytes:
    text = StringIO(newline="")
    csv.DictWriter(text, columns, restval="").writerows(rows)
    return text.getvalue().encode("utf-8")
