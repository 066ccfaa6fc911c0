"""Rows that a user brings: from a file or from Python, in the data's own units, checked against what the data are."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from diffkit.core.data import DataSpec
from diffkit.core.errors import DiffkitError
from diffkit.core.types import Batch
from diffkit.core.units import named_unit
from diffkit.run.arrays import read_npz

MISSING = ("", "NA")
"""What stands in a .csv where a number is missing, beside NaN."""


def read_rows(path: str | Path, spec: DataSpec) -> Batch:
    """The rows of an .npz file (`x`, and the columns of the data's conditions) or a .csv (one row a line).

    A .csv has one column for each number of a row; with a first line of names it may have a column `label`, or `text`.
    Raises `DiffkitError` for a file that cannot be read, or whose rows are none of these data.
    """
    columns = read_columns(path, spec, f"file={path}")
    return checked_rows(columns.pop("x"), columns, spec, f"file={path}")


def read_columns(path: str | Path, spec: DataSpec, where: str) -> dict[str, Any]:
    """The arrays of an .npz or .csv file, of which one is `x`; an empty entry of a .csv is NaN.

    Where the file and the data's columns have names, those of `x` are put in the order of the data's. Raises
    `DiffkitError`, with `where` it was asked for, for a file that cannot be read, for a column that is missing or none
    of the data's, and for one in another unit.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise DiffkitError(f"{where}: there is no such file")
    try:
        columns = {".npz": read_npz, ".csv": _csv}[file.suffix.lower()](file)
    except KeyError:
        raise DiffkitError(f"{where}: rows are read from .npz and .csv files alone") from None
    except (OSError, ValueError, csv.Error) as error:
        raise DiffkitError(f"{where} cannot be read: {' '.join(str(error).split())}") from None
    if "x" not in columns:
        raise DiffkitError(f"{where} has no array x: save the rows as x, in the data's own units")
    names, units = columns.pop("names", []), columns.pop("units", [])
    if len(names) and spec.names and len(spec.shape) == 1:
        places = _places([str(name) for name in names], [str(unit) for unit in units], spec, where)
        columns["x"] = np.asarray(columns["x"])[:, places]
    return columns


def _places(names: Sequence[str], units: Sequence[str], spec: DataSpec, where: str) -> list[int]:
    """Where each of the data's columns stands among those of a file; `name_unit` stands for `name` in that unit."""
    known = {f"{name}_{unit}": name for name, unit in zip(spec.names, spec.units, strict=True) if unit}
    found = {known.get(name, name): i for i, name in enumerate(names)}
    for title, wrong in (
        ("has no column", [name for name in spec.names if name not in found]),
        ("has a column that is none of the data's:", [name for name in found if name not in spec.names]),
        ("has more than one column", sorted({name for name in names if list(names).count(name) > 1})),
    ):
        if wrong:
            raise DiffkitError(f"{where} {title} {', '.join(wrong)}; the data have {', '.join(spec.names)}")
    for name, unit in zip(spec.names, spec.units, strict=True):
        given = units[found[name]] if units else ""
        if given and given != unit:
            theirs = f"that of the data is {unit}" if unit else "the data have none"
            raise DiffkitError(f"{where}: the unit of the column {name} is {given}, and {theirs}: convert it")
    return [found[name] for name in spec.names]


def checked_rows(
    x: Any, columns: Mapping[str, Any], spec: DataSpec, where: str, missing: bool = False, between: bool = False
) -> dict[str, Any]:
    """`x` (b, *shape), or flat (b, numbers), and the columns of the data's conditions, as a batch in float64.

    NaN is allowed where values may be `missing`, and values `between` the levels of discrete data where that is said.
    Raises `DiffkitError` for another shape, for values that are not finite, out of bounds, or between the levels of
    discrete data, and for columns that do not fit.
    """
    try:
        values = torch.as_tensor(np.asarray(x), dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        raise DiffkitError(f"{where}: x must be numbers, of shape (rows, {_shape(spec)})") from None
    if values.ndim == 2 and values.shape[1] == torch.Size(spec.shape).numel():
        values = values.reshape(-1, *spec.shape)
    if tuple(values.shape[1:]) != tuple(spec.shape) or not len(values):
        raise DiffkitError(f"{where}: x is of shape {tuple(values.shape)}, and must be (rows, {_shape(spec)})")
    finite = values.isfinite() | (values.isnan() if missing else torch.tensor(False))
    _refuse(values, ~finite, where, "is not a finite number")
    for bound, beyond in ((spec.low, torch.lt), (spec.high, torch.gt)):
        if bound is not None:
            _refuse(values, beyond(values, bound), where, f"is not from {spec.low} to {spec.high} {spec.unit}".rstrip())
    if spec.quantum is not None and not between:
        level = (values - (spec.low or 0)) / spec.quantum
        off = (level - level.round()).abs() > 1e-3
        _refuse(values, off, where, f"is between the levels, which are {spec.quantum:g} {spec.unit} apart")
    kept = {name: _column(name, columns[name], len(values), spec, where) for name in spec.conditions if name in columns}
    return {"x": values, **kept}


def _column(name: str, given: Any, rows: int, spec: DataSpec, where: str) -> Tensor | list[str | None]:
    classes, values = spec.conditions[name], np.asarray(given)
    whole = f"{where}: {name} must be whole numbers from 0 to {(classes or 0) - 1}, or -1 for none"
    if spec.class_names and name == "label":
        whole += f", or names: {', '.join(spec.class_names)}"
        known = {word: number for number, word in enumerate(spec.class_names)}
        values = np.array([known.get(value, value) for value in values.tolist()], dtype=object)
    if values.shape != (rows,):
        raise DiffkitError(f"{where}: {name} has shape {values.shape}, and must have one entry for each of {rows} rows")
    if classes is None:
        return [None if value is None or value == "" else str(value) for value in values.tolist()]
    try:
        plain = [-1.0 if value is None or value == "" else float(value) for value in values.tolist()]
    except (TypeError, ValueError):
        raise DiffkitError(whole) from None
    numbers = torch.tensor(plain, dtype=torch.float64)
    if bool(((numbers != numbers.round()) | (numbers < -1) | (numbers >= classes)).any()):
        raise DiffkitError(whole)
    return numbers.long()


def _refuse(x: Float[Tensor, " b *d"], wrong: Tensor, where: str, why: str) -> None:
    rows = wrong.flatten(1).any(1).nonzero()
    if len(rows):
        row = int(rows[0])
        value = x[row][wrong[row]][0].item()
        raise DiffkitError(f"{where}: {value:g} in row {row} {why} ({len(rows)} of {len(x)} rows have such values)")


def _shape(spec: DataSpec) -> str:
    return ", ".join(map(str, spec.shape))


def _csv(file: Path) -> dict[str, Any]:
    text = file.read_text(encoding="utf-8-sig")
    lines = [line for line in csv.reader(text.splitlines()) if any(entry.strip() for entry in line)]
    names = [name.strip() for name in lines[0]] if lines and any(not _is_number(entry) for entry in lines[0]) else []
    rows = lines[1:] if names else lines
    if len({len(row) for row in rows}) > 1:
        raise ValueError("its lines have different numbers of entries")
    table: NDArray[np.str_] = np.array(rows, dtype=str).reshape(len(rows), -1)
    beside = [i for i, name in enumerate(names) if name in ("label", "text")]
    entries = np.char.strip(np.delete(table, beside, axis=1))
    x = np.where(np.isin(entries, MISSING), "nan", entries).astype(np.float64)
    pairs = [named_unit(name) for i, name in enumerate(names) if i not in beside]
    headers = {"names": [name for name, _ in pairs], "units": [unit for _, unit in pairs]}
    return {"x": x, **headers, **{names[i]: np.char.strip(table[:, i]) for i in beside}}


def _is_number(text: str) -> bool:
    try:
        float("nan" if text.strip() in MISSING else text)
    except ValueError:
        return False
    return True
