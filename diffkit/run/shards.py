"""Shards: finished batches of samples on disk, so that a killed sampling run continues where it was."""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from diffkit.core.data import DataSpec
from diffkit.core.errors import DiffkitError, RunFailed
from diffkit.run.arrays import read_npz

Columns = dict[str, NDArray[Any]]
TEXT = 1000
"""The longest text that samples are kept with, in characters."""


@dataclass(frozen=True)
class Shards:
    """A folder of batches that belong to one set of settings: other settings have a folder of their own.

    Files are written whole or not at all, and their bytes depend on their content alone.
    """

    folder: Path

    @classmethod
    def of(cls, out: Path, settings: Mapping[str, Any]) -> "Shards":
        """Where the batches of these settings (plain values) wait in `out`.

        Raises `DiffkitError` if the folder cannot be written.
        """
        digest = sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]
        folder = out / "unfinished" / digest
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DiffkitError(
                f"cannot write in {out}: {error.strerror}; choose another folder with out=..."
            ) from error
        return cls(folder)

    def has(self, first: int, rows: int) -> bool:
        """Whether the batch of `rows` samples that begins with id `first` is there and whole."""
        return self._read(first, rows) is not None

    def write(self, first: int, columns: Columns) -> None:
        """Put a finished batch there."""
        write_npz(self._path(first), columns)

    def merge(self, batches: Mapping[int, int], path: Path, beside: Columns) -> None:
        """Write all batches (rows by first id) as one file, with the arrays that are not of rows `beside`.

        Raises `RunFailed` if one is missing.
        """
        parts = {first: self._read(first, rows) for first, rows in batches.items()}
        whole = [part for part in parts.values() if part is not None]
        if len(whole) < len(parts):
            lacking = ", ".join(str(first) for first, part in parts.items() if part is None)
            raise RunFailed(f"samples from id {lacking} on are missing in {self.folder}: run the same command again")
        columns = {name: np.concatenate([part[name] for part in whole]) for name in whole[0]}
        write_npz(path, {**columns, **beside})

    def drop(self) -> None:
        """Remove the batches, once everything is made of them."""
        shutil.rmtree(self.folder, ignore_errors=True)
        if not any(self.folder.parent.iterdir()):
            self.folder.parent.rmdir()

    def _path(self, first: int) -> Path:
        return self.folder / f"{first:09d}.npz"

    def _read(self, first: int, rows: int) -> Columns | None:
        try:
            columns = read_npz(self._path(first))
        except (OSError, ValueError):
            return None
        ids = columns.get("id")
        return columns if ids is not None and np.array_equal(ids, np.arange(first, first + rows)) else None


def described(spec: DataSpec) -> Columns:
    """What the numbers of samples are: `names` and `units` along their first axis, where it has names."""
    return {"names": np.array(spec.names), "units": np.array(spec.units)} if spec.names else {}


def as_array(column: Sequence[str | None] | Tensor) -> NDArray[Any]:
    """A column as an array that needs no pickle; the empty text is none, and long ones are cut at 1000 characters.

    An array of texts gives each the room of its longest.
    """
    if isinstance(column, Tensor):
        return column.cpu().numpy()
    return np.array(["" if text is None else text if len(text) <= TEXT else text[: TEXT - 1] + "…" for text in column])


def write_npz(path: Path, columns: Columns) -> None:
    """Write columns so that a reader, or a crash, sees the old file or the new one, never a part."""
    temporary = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **columns)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise RunFailed(f"cannot write {path}: {error.strerror or error}") from error
