"""Which columns of a table are what, and what their entries are: numbers, categories, captions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffkit.core.errors import DiffkitError, nearest
from diffkit.core.units import named_unit
from diffkit.standard.data.tables.source import Source

MISSING = ("", "NA")
"""What stands where there is no value, beside NaN and null."""
CLASSES = 1000
"""More different values than these are no categories."""


@dataclass(frozen=True)
class Wanted:
    """What is asked for of a table, by names of columns without their units."""

    columns: tuple[str, ...] | None
    """The numbers; None: every column that holds some and is not asked for otherwise."""
    units: Mapping[str, str]
    label: tuple[str, ...]
    text: str | None


@dataclass(frozen=True)
class Chosen:
    """The places in the table of what was asked for."""

    names: tuple[str, ...]
    units: tuple[str, ...]
    numbers: tuple[int, ...]
    label: tuple[int, ...]
    text: int | None


def choose(source: Source, wanted: Wanted, first: Any) -> Chosen:
    """Where the columns are that are wanted; those of numbers are known by the `first` piece, where none are named.

    Raises `DiffkitError` for a column that is not there, has no name, or has that of another, for units that disagree,
    and for a table without numbers.
    """
    pairs = [named_unit(header) for header in source.headers]
    where = {name: i for i, (name, _) in enumerate(pairs)}
    _refuse_names(source, [name for name, _ in pairs], everything=wanted.columns is None)
    asked = [*(wanted.columns or ()), *wanted.label, *([wanted.text] if wanted.text else []), *wanted.units]
    for name in asked:
        if name not in where:
            raise DiffkitError(f"{source.path} has no column {name}; {nearest(name, filter(None, where))}")
    beside = {*wanted.label, wanted.text}
    found = [name for name, i in where.items() if name not in beside and _mostly_numbers(first.column(i))]
    names = tuple(found if wanted.columns is None else wanted.columns)
    if not names:
        raise DiffkitError(f"{source.path} has no column of numbers: name some with data.columns=[...]")
    if set(names) & beside:
        both = ", ".join(sorted(map(str, set(names) & beside)))
        raise DiffkitError(f"{source.path}: {both} is asked for as a number and as a condition: leave one out")
    units = tuple(_unit(source, name, pairs[where[name]][1], wanted.units) for name in names)
    label = tuple(where[name] for name in wanted.label)
    text = None if wanted.text is None else where[wanted.text]
    return Chosen(names, units, tuple(where[name] for name in names), label, text)


def _refuse_names(source: Source, names: Sequence[str], everything: bool) -> None:
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise DiffkitError(f"{source.path} has more than one column called {', '.join(twice)}: rename one")
    if everything and "" in names:
        raise DiffkitError(
            f"{source.path}: column {names.index('') + 1} has no name: name those to use with data.columns=[...]"
        )


def _unit(source: Source, name: str, said: str, units: Mapping[str, str]) -> str:
    given = units.get(name, said)
    if said and given != said:
        raise DiffkitError(f"{source.path}: the column {name} is in {said}, and data.units says {given}: leave one out")
    return given


def numbers(column: Any, name: str, source: Source, first: int) -> NDArray[np.float64]:
    """The entries as numbers, NaN where there is none; `first` is the number of the first one's row.

    Raises `DiffkitError`, with the line, for one that is no finite number.
    """
    import pyarrow as pa

    if not _is_text(column) and not _is_numeric(column.type):
        raise DiffkitError(f"{source.path}: the column {name} holds {column.type}, not numbers: leave it out")
    try:
        cast = (_entries(column) if _is_text(column) else column).cast(pa.float64())
        values: NDArray[np.float64] = cast.to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:  # something is no number, or is written in a way that pyarrow does not know, as +1.5
        values = np.array([_number(entry) for entry in _entries(column).to_pylist()])
    wrong = np.isinf(values)
    if wrong.any():
        row = int(wrong.argmax())
        place = f"{source.path}, {source.place(first + row)}: the column {name}"
        raise DiffkitError(
            f"{place} has {column[row].as_py()!r:.60}, not a finite number: mend it, or leave the column out of"
            " data.columns=[...]"
        )
    return values


def categories(columns: Sequence[Any]) -> tuple[list[str], NDArray[np.int64]]:
    """The different combinations of entries, and the number of each row's; -1 where one is missing."""
    import pyarrow.compute as pc

    words = [_entries(column) for column in columns]
    joined = words[0] if len(words) == 1 else pc.binary_join_element_wise(*words, ", ")
    encoded = joined.dictionary_encode()
    codes: NDArray[np.int64] = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return encoded.dictionary.to_pylist(), codes


def captions(column: Any) -> list[str]:
    """The entries as text; empty where there is none."""
    texts: list[str] = _entries(column).fill_null("").to_pylist()
    return texts


def _entries(column: Any) -> Any:
    """The entries as trimmed text; null where one is missing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    trimmed = pc.utf8_trim_whitespace(column.cast(pa.string()))
    return pc.if_else(pc.is_in(trimmed, value_set=pa.array(MISSING)), pa.scalar(None, pa.string()), trimmed)


def _mostly_numbers(column: Any) -> bool:
    """Whether more than half of the first entries that there are are numbers; the others are faults then."""
    if not _is_text(column):
        return _is_numeric(column.type)
    there = [entry for entry in _entries(column[:1000]).to_pylist() if entry is not None]
    return sum(abs(_number(entry)) < np.inf for entry in there) > len(there) / 2


def _number(text: str | None) -> float:
    """NaN for what is missing, infinity for what is no number."""
    try:
        return float("inf" if text and "_" in text else text or "nan")
    except ValueError:
        return float("inf")


def _is_text(column: Any) -> bool:
    import pyarrow.types as types

    kind = column.type.value_type if types.is_dictionary(column.type) else column.type
    return bool(types.is_string(kind) or types.is_large_string(kind))


def _is_numeric(kind: Any) -> bool:
    import pyarrow.types as types

    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind))
