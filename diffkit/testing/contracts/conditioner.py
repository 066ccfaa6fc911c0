"""Contracts of conditioners."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from diffkit.core.condition import Condition
from diffkit.core.conditioner import Conditioner, Conditioners
from diffkit.core.data import rows_of
from diffkit.core.types import Batch, Shape
from diffkit.testing.contracts.hold import hold, made, table
from diffkit.testing.contracts.require import copied, equal, require, require_close
from diffkit.testing.given import BATCH, CLASSES, SHAPES, Unproven, seeded

SLOTS = (("vector", -1), ("sequence", -1), ("spatial", 1))
"""Each slot, and the axis of its width."""
Make = Callable[..., Conditioner]


@dataclass(frozen=True)
class Encoded:
    """A conditioner, the rows that it encodes, and the shape of the data that they are beside."""

    make: Make
    batch: Batch
    shape: Shape = SHAPES[0]

    def __str__(self) -> str:
        return type(self.conditioner).__name__

    def built(self, seed: int) -> Conditioner:
        """A new one."""
        with seeded(seed):
            conditioner: Conditioner = made(self.make, classes=CLASSES, shape=self.shape)
        return conditioner.eval()

    @cached_property
    def conditioner(self) -> Conditioner:
        """The conditioner."""
        return self.built(0)

    @cached_property
    def column(self) -> Any:
        """The column that it reads; raises `Unproven` if there is none."""
        key = self.conditioner.key
        if key not in self.batch:
            raise Unproven(f"needs the column {key!r}, and what it is tried with has {' and '.join(self.batch)}")
        return copied(self.batch[key])

    @cached_property
    def told(self) -> Condition:
        """The condition of all rows."""
        told: Condition = self.conditioner({self.conditioner.key: self.column})
        return told

    def alone(self, row: int) -> Condition:
        """The condition of a row by itself."""
        told: Condition = self.conditioner(rows_of({self.conditioner.key: self.column}, torch.tensor([row])))
        return told


def slots(case: Encoded) -> None:
    """It fills the slots that its `spec` declares, with finite values of the declared widths, one for each row."""
    told, spec, rows = case.told, case.conditioner.spec, len(case.column)
    for slot, axis in SLOTS:
        declared, got = getattr(spec, slot), getattr(told, slot)
        width = None if got is None else got.shape[axis]
        require(width == declared, case, f"the width of the slot {slot} is {width}, its spec declares {declared}")
        if got is not None:
            require(len(got) == rows, case, f"the slot {slot} has {len(got)} rows for {rows}")
            require(bool(got.isfinite().all()), case, f"the slot {slot} is not finite")


def places(case: Encoded) -> None:
    """Which places there are, if it says that: a bool for each of the data's places, and a row has one at least."""
    told, wanted = case.told.present, (len(case.column), *case.shape[1:])
    said = case.conditioner.spec.present
    require((told is not None) == said, case, f"its spec says present={said}, and present is {type(told).__name__}")
    if told is not None:
        shape = tuple(told.shape)
        require(told.dtype == torch.bool and shape == wanted, case, f"present is {told.dtype} of {shape}, not {wanted}")
        require(bool(told.flatten(1).any(1).all()), case, "a row has no places")


def mask(case: Encoded) -> None:
    """A sequence has a mask, of a bool for each token, and a row keeps at least one token."""
    sequence, kept = case.told.sequence, case.told.mask
    require((kept is None) == (sequence is None), case, "a sequence and its mask come together, and one is None")
    if sequence is not None and kept is not None:
        require(kept.dtype == torch.bool, case, f"the mask is {kept.dtype}, not torch.bool")
        shapes = tuple(kept.shape), tuple(sequence.shape[:2])
        require(shapes[0] == shapes[1], case, f"the mask is of shape {shapes[0]}, the sequence has {shapes[1]} tokens")


def untouched(case: Encoded) -> None:
    """The batch is not written into."""
    batch = {case.conditioner.key: copied(case.column)}
    case.conditioner(batch)
    require(equal(batch, {case.conditioner.key: case.column}), case, "the batch was written into")


def repeats(case: Encoded) -> None:
    """In evaluation the same rows have the same condition, to the last bit: dropping conditions is the model's."""
    with seeded(2):
        again = case.conditioner({case.conditioner.key: case.column})
    require(equal(again, case.told), case, "the same rows encoded again have another condition")


def rows(case: Encoded) -> None:
    """A row by itself has the condition that it has among many, padding aside."""
    told = case.told
    for row in range(len(case.column)):
        alone, at = case.alone(row), f"of row {row} by itself, against it in a batch of {len(case.column)},"
        for slot in ("vector", "spatial"):
            if getattr(told, slot) is not None:
                require_close(case, f"the {slot} {at}", getattr(alone, slot), getattr(told, slot)[row : row + 1], 1e-5)
        if told.sequence is not None and told.mask is not None:
            require_close(case, f"the tokens {at}", _tokens(alone), told.sequence[row][told.mask[row]], 1e-5)


def _tokens(alone: Condition) -> Tensor:
    assert alone.sequence is not None and alone.mask is not None
    return alone.sequence[alone.mask]


def tells(case: Encoded) -> None:
    """Rows that differ in the column have different conditions."""
    column = case.column
    first, one = copied(column[0]), case.alone(0)
    for row in range(1, len(column)):
        if not equal(column[row], first):
            other = case.alone(row)
            require(not equal(one, other), case, f"gives {first!r} and {column[row]!r} the same condition")


def null(case: Encoded) -> None:
    """A row whose condition is dropped has the null, and the row beside it keeps its own condition."""
    model, count = Conditioners([case.conditioner], case.shape[1:]), len(case.column)
    batch, none = {case.conditioner.key: case.column}, Conditioners([case.conditioner], case.shape[1:]).null(count)
    for dropped in (True, False):
        kept = model(batch, count, torch.full((1, count), not dropped))
        wanted = none if dropped else case.told
        for slot in ("vector", "spatial"):
            if getattr(wanted, slot) is not None:
                what = f"the {slot} of rows that are {'all dropped' if dropped else 'all kept'}"
                require_close(case, what, getattr(kept, slot), getattr(wanted, slot).to(getattr(kept, slot)), 0.0)


def state(case: Encoded) -> None:
    """Another one that is given its `state_dict` encodes the same."""
    other = case.built(1)
    other.load_state_dict(case.conditioner.state_dict())
    again = other({case.conditioner.key: case.column})
    require(equal(again, case.told), case, "another one with its state_dict encodes the same rows differently")


CONDITIONER = table(slots, places, mask, untouched, repeats, rows, tells, null, state)


def check_conditioner(make: Make, batch: Batch = BATCH, shape: Shape = SHAPES[0]) -> None:
    """Hold a conditioner against its contracts.

    `make` is its class, or a function that builds one; it is given `classes` (10) and `shape` by name, if it asks for
    them. `batch` has the column that it reads, by default there are `"label"` and `"text"`; `shape` is that of the
    data. Raises `AssertionError` with what broke and what was measured.
    """
    hold(CONDITIONER, Encoded(make, batch, shape))
