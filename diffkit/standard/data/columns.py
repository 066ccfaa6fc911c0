"""The columns of data in memory, checked before anything is made of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffkit.core.data import KNOWN, DataSpec
from diffkit.core.errors import DiffkitError

SOME = 65536
"""How many rows are looked at together: they may be more than fit in memory."""


@dataclass(frozen=True)
class Texts:
    """Captions in a file: those of some rows are read when they are asked for."""

    path: Path
    ends: Tensor

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, index: Tensor) -> list[tuple[str, ...]]:
        starts = torch.where(index > 0, self.ends[(index - 1).clamp(min=0)], 0)
        pairs = zip(starts.tolist(), self.ends[index].tolist(), strict=True)
        return [(bytes(self._text[a:b]).decode(),) if b > a else () for a, b in pairs]

    def __iter__(self) -> Iterator[tuple[str, ...]]:
        for index in torch.split(torch.arange(len(self)), 1024):
            yield from self[index]

    @cached_property
    def _text(self) -> Any:
        return np.memmap(self.path, np.uint8, "r") if self.path.stat().st_size else b""


def checked(columns: Mapping[str, Any], spec: DataSpec, where: str) -> dict[str, Any]:
    """The columns, with a tuple of captions in each row of texts: a bare string is one, and None is none.

    Raises `DiffkitError`, which names the row, for what is no number, no caption or no class of the data.
    """
    rows, made = len(columns["x"]), dict(columns)
    _check_numbers(columns["x"], where)
    for name, classes in spec.conditions.items():
        column, place = columns.get(name), f"{where}: the column {name}"
        if column is None:
            raise DiffkitError(f"{place} is missing, which spec.conditions offers: give it, or do not offer it")
        if len(column) != rows:
            raise DiffkitError(f"{place} has {len(column)} entries for {rows} rows: give one for each")
        if classes is not None:
            _check_labels(column, classes, place)
        elif not isinstance(column, Tensor | Texts):
            made[name] = [_captions(entry, f"{place}, row {i}") for i, entry in enumerate(column)]
    return made


def _check_numbers(x: Tensor, where: str) -> None:
    for start in range(0, len(x), SOME):
        finite = x[start : start + SOME].flatten(1).isfinite().all(1)
        if not finite.all():
            row = start + int((~finite).nonzero()[0])
            raise DiffkitError(
                f"{where}: row {row} of x has values that are NaN or infinite: leave it out, or say with a column"
                f" {KNOWN!r} which values there are, and put 0 for the others"
            )


def _check_labels(column: Any, classes: int, place: str) -> None:
    if not isinstance(column, Tensor) or column.is_floating_point() or column.ndim != 1:
        raise DiffkitError(f"{place} must be a tensor (rows,) of whole numbers, -1 where there is none")
    wrong = ((column < -1) | (column >= classes)).nonzero()
    if len(wrong):
        row = int(wrong[0])
        raise DiffkitError(f"{place}, row {row} is {int(column[row])}: give 0 to {classes - 1}, or -1 for none")


def _captions(entry: Any, place: str) -> tuple[str, ...]:
    captions = () if entry is None else (entry,) if isinstance(entry, str) else entry
    if not isinstance(captions, tuple | list) or not all(isinstance(text, str) for text in captions):
        raise DiffkitError(f"{place} is {entry!r:.60}: give a string, a tuple of strings, or None for no caption")
    for text in captions:
        if not text.strip():
            raise DiffkitError(f"{place} has an empty caption: give None for no caption")
        if not text.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in text):
            raise DiffkitError(f"{place} is {text!r:.60}, made of bytes that are not UTF-8: decode it as what it is")
    return tuple(captions)
