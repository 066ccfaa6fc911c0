"""A table as plain files of standardised numbers, made in one pass over it and one over what that wrote."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from diffkit.core.errors import DiffkitError
from diffkit.standard.data.tables.columns import CLASSES, Chosen, Wanted, captions, categories, choose, numbers
from diffkit.standard.data.tables.moments import Moments
from diffkit.standard.data.tables.source import Source

Split = Literal["train", "test"]
BLOCK = 1 << 14
"""The rows that are standardised at a time."""


@dataclass
class Tally:
    """What is known of the rows so far."""

    moments: Moments
    """Of the training rows."""
    classes: dict[str, int] = field(default_factory=dict)
    """The number of each category, in the order of their coming."""
    counts: dict[int, int] = field(default_factory=dict)
    """The rows of each."""
    rows: dict[str, int] = field(default_factory=lambda: dict.fromkeys(get_args(Split), 0))
    seen: int = 0
    known: bool = True
    """Whether every number is there."""


def convert(source: Source, wanted: Wanted, hold_out: int, folder: Path) -> dict[str, Any]:
    """Write the table's splits into `folder`, and give what is to be known of them as plain values.

    For each split there are `x` (float32, standardised by the training split, 0 where there is no number), `known`
    (bool, where some number is missing), `label` (int64), `text` and `ends` (UTF-8, and where in it each row's caption
    ends). One in `hold_out` rows of each category is held out. Raises `DiffkitError` for a table that cannot be used.
    """
    pieces = source.pieces()
    first = next((piece for piece in pieces if piece.num_rows), None)
    if first is None:
        raise DiffkitError(f"{source.path} has no rows: there are names of columns, and no values")
    chosen = choose(source, wanted, first)
    tally = Tally(Moments.of(np.empty((0, len(chosen.numbers)))))
    with ExitStack() as stack:
        files = {
            (split, name): stack.enter_context((folder / f"{split}.{name}").open("wb"))
            for split in get_args(Split)
            for name in _parts(chosen)
        }
        for piece in _chain(first, pieces):
            _take(source, chosen, piece, hold_out, tally, files)
    _refuse_unusable(source, chosen, tally)
    order = sorted(tally.classes)
    for split in get_args(Split):
        _standardise(folder, split, tally, len(chosen.numbers))
        if chosen.label:
            _renumber(folder / f"{split}.label", [order.index(name) for name in tally.classes])
    return {
        "names": list(chosen.names),
        "units": list(chosen.units),
        "mean": tally.moments.mean.tolist(),
        "scale": tally.moments.deviation.tolist(),
        "class_names": order,
        "rows": tally.rows,
        "known": tally.known,
    }


def _parts(chosen: Chosen) -> list[str]:
    return ["raw", *(["label"] if chosen.label else []), *([] if chosen.text is None else ["text", "ends"])]


def _chain(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from rest


def _take(
    source: Source,
    chosen: Chosen,
    piece: Any,
    hold_out: int,
    tally: Tally,
    files: Mapping[tuple[str, str], IO[bytes]],
) -> None:
    """Write the rows of a piece of which something is known, each to its split."""
    pairs = zip(chosen.numbers, chosen.names, strict=True)
    values = np.stack([numbers(piece.column(i), name, source, tally.seen) for i, name in pairs], 1)
    there = ~np.isnan(values)
    some: NDArray[np.bool_] = np.any(there, 1)
    codes = _codes(source, chosen, piece, tally)[some]
    test = _held_out(codes, tally.counts, hold_out)
    values, texts = values[some], _texts(chosen, piece, some)
    for split, mine in (("train", ~test), ("test", test)):
        files[split, "raw"].write(values[mine].tobytes())
        if chosen.label:
            files[split, "label"].write(codes[mine].tobytes())
        if texts is not None:
            own = [text for text, here in zip(texts, mine, strict=True) if here]
            start = files[split, "text"].tell()
            files[split, "text"].write("".join(own).encode())
            ends = start + np.cumsum([len(text.encode()) for text in own], dtype=np.int64)
            files[split, "ends"].write(ends.tobytes())
        tally.rows[split] += int(mine.sum())
    tally.moments = tally.moments + Moments.of(values[~test])
    tally.known &= bool(there[some].all())
    tally.seen += piece.num_rows


def _texts(chosen: Chosen, piece: Any, some: NDArray[np.bool_]) -> list[str] | None:
    if chosen.text is None:
        return None
    return [text for text, kept in zip(captions(piece.column(chosen.text)), some, strict=True) if kept]


def _codes(source: Source, chosen: Chosen, piece: Any, tally: Tally) -> NDArray[np.int64]:
    """The number of each row's category; -1 where there is none."""
    if not chosen.label:
        return np.full(piece.num_rows, -1)
    names, codes = categories([piece.column(i) for i in chosen.label])
    numbers = [tally.classes.setdefault(name, len(tally.classes)) for name in names]
    if len(tally.classes) > CLASSES:
        label = ", ".join(source.headers[i] for i in chosen.label)
        raise DiffkitError(f"{source.path}: {label} has more than {CLASSES} different values: it is no category")
    return np.array([*numbers, -1])[codes]


def _held_out(codes: NDArray[np.int64], counts: dict[int, int], hold_out: int) -> NDArray[np.bool_]:
    """Which rows are held out: of each `hold_out` rows of a category that follow each other, one, as a hash says."""
    order = np.argsort(codes, kind="stable")
    ranked = codes[order]
    place = np.empty_like(codes)
    place[order] = np.arange(len(codes)) - np.searchsorted(ranked, ranked)
    categories, sizes = np.unique(codes, return_counts=True)
    for code, size in zip(categories.tolist(), sizes.tolist(), strict=True):
        place[codes == code] += counts.get(code, 0)
        counts[code] = counts.get(code, 0) + size
    block = place // hold_out
    return np.asarray(place % hold_out == _hash(block, codes) % hold_out)


def _hash(block: NDArray[np.int64], codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Whole numbers that look random, 0 or more: the finaliser of SplitMix64 (Steele, Lea and Flood 2014)."""
    with np.errstate(over="ignore"):
        z = block.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + (codes + 2).astype(np.uint64)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            z = (z ^ (z >> np.uint64(shift))) * np.uint64(factor)
    return ((z ^ (z >> np.uint64(31))) >> np.uint64(1)).astype(np.int64)


def _refuse_unusable(source: Source, chosen: Chosen, tally: Tally) -> None:
    if min(tally.rows.values()) < 1 or tally.rows["train"] < 2:
        total = sum(tally.rows.values())
        raise DiffkitError(f"{source.path} has {total} rows with numbers, which are too few to train and to hold out")
    moments = tally.moments
    for name, n, mean, deviation in zip(chosen.names, moments.n, moments.mean, moments.deviation, strict=True):
        if not n:
            raise DiffkitError(f"{source.path}: the column {name} has no numbers: leave it out of data.columns=[...]")
        if not deviation > 1e-12 * abs(mean):
            raise DiffkitError(
                f"{source.path}: the column {name} is {mean:g} in all rows: leave it out of data.columns=[...]"
            )
    if chosen.label and not tally.classes:
        raise DiffkitError(f"{source.path}: {source.headers[chosen.label[0]]} has no values: leave data.label out")


def _standardise(folder: Path, split: str, tally: Tally, columns: int) -> None:
    raw = np.memmap(folder / f"{split}.raw", np.float64, "r", shape=(tally.rows[split], columns))
    with (folder / f"{split}.x").open("wb") as x, (folder / f"{split}.known").open("wb") as known:
        for start in range(0, len(raw), BLOCK):
            rows = np.asarray(raw[start : start + BLOCK])
            z = (rows - tally.moments.mean) / tally.moments.deviation
            x.write(np.nan_to_num(z).astype(np.float32).tobytes())
            if not tally.known:
                known.write((~np.isnan(rows)).tobytes())
    del raw
    (folder / f"{split}.raw").unlink()
    if tally.known:
        (folder / f"{split}.known").unlink()


def _renumber(path: Path, numbers: list[int]) -> None:
    """From the order in which categories came to that of their names."""
    label = np.memmap(path, np.int64, "r+")
    table = np.array([*numbers, -1])
    for start in range(0, len(label), BLOCK):
        label[start : start + BLOCK] = table[label[start : start + BLOCK]]
    label.flush()
