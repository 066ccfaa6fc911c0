"""Figures on disk, a line for each point, so that a comparison goes on where it was stopped."""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from diffkit.core.errors import DiffkitError, RunFailed
from diffkit.run.folder import write_bytes


@dataclass(frozen=True)
class Record:
    """What was found of one point."""

    calls: float
    """Passes of networks for a batch."""
    rows: float
    """Rows in these passes for a sample."""
    seconds: float
    """For all samples."""
    scores: dict[str, dict[str, float]]
    """By figure, `metric` or `metric/name`: `value` of samples; `real` and `real_sd` of real rows in their place."""


class Ledger:
    """`compare.jsonl` in a folder: records under the keys of their settings.

    Raises `DiffkitError` if the folder cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "compare.jsonl"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DiffkitError(
                f"cannot make the folder {folder}: {error.strerror}; choose another with out="
            ) from error

    def read(self) -> dict[str, Record]:
        """The records by key. Lines that are damaged, as a kill leaves the last one, are taken out of the file."""
        try:
            lines = self.path.read_bytes().splitlines(keepends=True) if self.path.exists() else []
        except OSError as error:
            raise DiffkitError(f"cannot read {self.path}: {error.strerror}") from error
        found, whole = dict[str, Record](), list[bytes]()
        for number, line in enumerate(lines, 1):
            try:
                key, record = _parsed(line)
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                print(f"Warning: line {number} of {self.path} is damaged: that point is done again", file=sys.stderr)
            else:
                found[key] = record
                whole.append(line)
        if len(whole) < len(lines):
            write_bytes(self.path, b"".join(whole))
        return found

    def add(self, key: str, record: Record, settings: Mapping[str, Any]) -> None:
        """Put one more on disk; raises `RunFailed` if it cannot be written."""
        line = json.dumps({"key": key, **asdict(record), "settings": settings}) + "\n"
        try:
            with self.path.open("ab") as file:
                file.write(line.encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise RunFailed(f"cannot write {self.path}: {error.strerror}") from error


def _parsed(line: bytes) -> tuple[str, Record]:
    """A line's key and record; raises what its damage leads to."""
    if not line.endswith(b"\n"):
        raise ValueError("the line has no end")
    values = json.loads(line)
    scores = {str(name): {str(k): float(v) for k, v in score.items()} for name, score in values["scores"].items()}
    calls, rows, seconds = (float(values[name]) for name in ("calls", "rows", "seconds"))
    return str(values["key"]), Record(calls, rows, seconds, scores)
