"""Contracts of data."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from diffkit.core.data import KNOWN, Data, DataSpec, Drawing, Portable, rows_of
from diffkit.core.types import Batch
from diffkit.testing.contracts.hold import hold, made, table
from diffkit.testing.contracts.require import equal, require, require_close
from diffkit.testing.given import seeded

NEAR = 0.1
"""How far the mean and the spread of standardised rows may be from 0 and 1."""
BATCHES = 3
SPLITS = ("train", "test")
Make = Callable[..., Data]


@dataclass(frozen=True)
class Rows:
    """A data part, built as a run does."""

    make: Make

    def __str__(self) -> str:
        return type(self.data).__name__

    def built(self, seed: int = 0, start: int = 0) -> Any:
        """A new one that is ready to be read."""
        with seeded(seed + 1):
            data = made(self.make, seed=seed)
            data.prepare_data()
            data.setup("fit")
        data.start = start
        return data

    @cached_property
    def data(self) -> Data:
        """The data."""
        data: Data = self.built()
        return data

    @cached_property
    def splits(self) -> dict[str, Batch]:
        """The rows of both splits."""
        return {"train": self.data.reference("train"), "test": self.data.reference("test")}

    def batches(self, seed: int = 0, start: int = 0) -> list[Batch]:
        """The first batches that training gets."""
        return list(islice(self.built(seed, start).train_dataloader(), BATCHES))


def spec(case: Rows) -> None:
    """Its `spec` holds plain values: a shape, a unit in words, a mean and a scale for all or for each first entry."""
    spec = case.data.spec
    shape = tuple(spec.shape)
    require(bool(shape) and all(type(n) is int and n > 0 for n in shape), case, f"spec.shape is {shape}")
    texts = all(isinstance(unit, str) for unit in spec.units) and len(spec.units) == shape[0]
    require(texts, case, f"spec.unit is {spec.unit!r}, not a text, or one for each of {shape[0]} first entries")
    for name, values in (("mean", spec.mean), ("scale", spec.scale)):
        said = f"spec.{name} has {len(values)} numbers for samples of shape {shape}: give 1 or {shape[0]}"
        require(len(values) in (1, shape[0]), case, said)
    for name, words, count in (("names", spec.names, shape[0]), ("class_names", spec.class_names, _classes(spec))):
        said = f"spec.{name} has {len(words)} entries, not 0 or {count}"
        require(len(words) in (0, count), case, said)
    require(min(spec.scale) > 0, case, f"spec.scale is {spec.scale}, and must be above 0")
    again = DataSpec.from_dict(json.loads(json.dumps(spec.to_dict())))
    require(again == spec, case, f"its spec is another one when read from JSON: {again}, not {spec}")


def _classes(spec: DataSpec) -> int:
    return spec.conditions.get("label") or 0


def rows(case: Rows) -> None:
    """Both splits have finite float32 rows of the declared shape."""
    for split, columns in case.splits.items():
        _check_rows(case, columns, split)


def _check_rows(case: Rows, columns: Batch, where: str) -> None:
    x: Tensor = columns["x"]
    declared, shape = tuple(case.data.spec.shape), tuple(x.shape[1:])
    require(len(x) > 0, case, f"{where} has no rows")
    require(shape == declared, case, f"a row of {where} is of shape {shape}, spec.shape is {declared}")
    require(x.dtype == torch.float32, case, f"the rows of {where} are {x.dtype}, not torch.float32")
    require(bool(torch.isfinite(x).all()), case, f"{int((~x.isfinite()).sum())} values of {where} are not finite")


def known(case: Rows) -> None:
    """Where it says which numbers there are, that is a bool for each number, and the others are 0."""
    for split, columns in case.splits.items():
        if KNOWN in columns:
            x, there = columns["x"], columns[KNOWN]
            said = f"{KNOWN!r} of {split} is {there.dtype} of shape {tuple(there.shape)}, for rows of {tuple(x.shape)}"
            require(there.dtype == torch.bool and there.shape == x.shape, case, said)
            require(not bool(x[~there].any()), case, f"numbers of {split} that are not {KNOWN} are not 0")


def columns(case: Rows) -> None:
    """Each condition that it declares is a column with one value a row: labels below their number, or texts."""
    for split, columns in case.splits.items():
        for name, classes in case.data.spec.conditions.items():
            require(name in columns, case, f"{split} lacks the column {name!r} that spec.conditions declares")
            column, count = columns[name], len(columns["x"])
            require(len(column) == count, case, f"{name} of {split} has {len(column)} values for {count} rows")
            if classes is not None:
                most = int(column.max())
                require(most < classes, case, f"{name} of {split} goes up to {most}, and there are {classes} classes")


def units(case: Rows) -> None:
    """Rows in their own units and back are the same: `spec` is how they were standardised."""
    spec = case.data.spec
    for split, columns in case.splits.items():
        back = spec.standardise(spec.restore(columns["x"]))
        require_close(case, f"the rows of {split} in their own units and back", back, columns["x"], 1e-4)


def standardised(case: Rows) -> None:
    """Over all training rows the mean is 0 and the standard deviation 1, to 0.1: of the numbers that there are."""
    rows = case.splits["train"]
    x = rows["x"].double()[rows.get(KNOWN, ...)]
    mean, std = x.mean().item(), x.std().item()
    require(abs(mean) < NEAR, case, f"the mean of the training rows is {mean:.2g}, not 0")
    require(abs(std - 1) < NEAR, case, f"the standard deviation of the training rows is {std:.2g}, not 1")


def draws(case: Rows) -> None:
    """It draws a picture of its own rows; so does, without the data, what it gives if it is `Portable`."""
    spec = case.data.spec
    x = spec.own(rows_of(case.splits["train"], torch.arange(4)))["x"]
    panels = (1, len(x)) if len(spec.shape) > 1 else (1, 1, len(x))  # points are drawn together in a panel
    ways: list[Drawing] = [case.data]
    ways += [case.data.drawing(spec, lambda: None)] if isinstance(case.data, Portable) else []
    for way in ways:
        size = getattr(way.draw(x.reshape(*panels, *spec.shape)), "size", ())
        said = f"draw gives no picture of 4 rows, but one of size {size} (by {type(way).__name__})"
        require(len(size) == 2 and min(size) > 0, case, said)


def batches(case: Rows) -> None:
    """Training gets batches of rows like those of `reference`, with the same columns."""
    for i, batch in enumerate(case.batches()):
        _check_rows(case, batch, f"batch {i} of train_dataloader")
        for name in case.data.spec.conditions:
            count = len(batch.get(name, ()))
            require(
                count == len(batch["x"]), case, f"batch {i} has {count} values of {name!r} for {len(batch['x'])} rows"
            )


def repeats(case: Rows) -> None:
    """The same seed gives the same rows and the same batches in the same order: nothing random is hidden."""
    with seeded(1):
        again = case.built()
    for split, columns in case.splits.items():
        require(equal(again.reference(split), columns), case, f"built again with the same seed, {split} is different")
    for i, (a, b) in enumerate(zip(case.batches(), case.batches(), strict=True)):
        require(equal(a["x"], b["x"]), case, f"built again with the same seed, batch {i} has other rows")


def resumes(case: Rows) -> None:
    """With `start` at 2, training goes on with the third batch, so that a resumed run misses and repeats nothing."""
    whole, rest = case.batches(), case.batches(start=2)
    require(equal(whole[2]["x"], rest[0]["x"]), case, "with start = 2 the first batch is not the third of a whole run")


DATA = table(spec, rows, known, columns, units, standardised, draws, batches, repeats, resumes)


def check_data(make: Make) -> None:
    """Hold data against their contracts.

    `make` is their class, or a function that builds them; it is given `seed` by name, if it asks for it. Raises
    `AssertionError` with what broke and what was measured.
    """
    hold(DATA, Rows(make))
