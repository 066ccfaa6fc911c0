"""What parts are tried with, where nothing else is given: the registered schedules, shapes, a batch, some rows."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch

from diffkit.compose.build import create, part
from diffkit.compose.registry import registry
from diffkit.compose.values import hyperparameters
from diffkit.core.condition import ConditionSpec
from diffkit.core.data import Data, DataSpec
from diffkit.core.errors import DiffkitError
from diffkit.core.schedule import Schedule
from diffkit.core.types import Shape

SHAPES: tuple[Shape, ...] = ((1, 8, 8), (3, 4, 6), (2,), (5,), (2, 12), (1, 4, 4, 4))
"""The shapes that a network or a codec is tried with: it is for some of them, and refuses the others."""
CONDITIONS = (ConditionSpec(), ConditionSpec(vector=3), ConditionSpec(sequence=4), ConditionSpec(5, 4, 2))
CLASSES = 10
SPEC = DataSpec((2,), {"label": CLASSES, "text": None}, "grey level", (8.0,), (4.0,), 0.0, 16.0)
"""Of the data of which a guidance is told."""
BATCH = {
    "label": torch.tensor([3, 0, 3, 9]),
    "text": ["three", "", "a handwritten 3", "nine or ten"],
    "x": torch.linspace(-2, 2, 256).reshape(4, *SHAPES[0]),
}
"""What a conditioner is tried with."""
TINY = {
    "width": 8,
    "depth": 1,
    "heads": 2,
    "embedding": 8,
    "blocks": 1,
    "length": 32,
    "points": 64,
    "clouds": 256,
    "sets": 64,
    "steps": 3,
    "resolution": 8,
}
"""Hyperparameters that make a part small, where it has one of that name."""


class Unproven(Exception):
    """A part that cannot be proven without something that only its user has; the message says what."""


def tiny(kind: str, name: str) -> dict[str, Any]:
    """A part's config node, with small networks and few steps."""
    known = hyperparameters(registry().load(kind, name)) if kind != "schedule" else {}
    return {"_part_": name, **{key: value for key, value in TINY.items() if key in known}}


@cache
def schedules() -> tuple[Schedule, ...]:
    """Every registered schedule that can be built from its defaults; a broken one fails alone, in its own contracts."""
    return tuple(made for name in registry().names("schedule") if (made := _schedule(name)) is not None)


def _schedule(name: str) -> Schedule | None:
    try:
        made: Schedule = create("schedule", name)
        made.span()
    except Exception:  # foreign code; a value that has no default is a DiffkitError
        return None
    return made


def some_rows() -> Any:
    """The first registered data, made anew."""
    return part("data", tiny("data", registry().names("data")[0]), seed=0)


@cache
def rows() -> Data:
    """The first registered data, for what must be told of some: a metric, a task."""
    data: Data = some_rows()
    return data


def data_sets() -> Iterator[Data]:
    """The registered data that can be had without keys, the first registered first."""
    yield rows()
    for name in registry().names("data")[1:]:
        made = _data(name)
        if made is not None:
            yield made


@cache
def _data(name: str) -> Data | None:
    try:
        made: Data = part("data", tiny("data", name), seed=0)
    except DiffkitError:
        return None
    return made


@contextmanager
def seeded(seed: int = 0) -> Iterator[None]:
    """Torch's own generator at a given place; afterwards it is where it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
