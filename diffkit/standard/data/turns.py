"""Rows on their way: which are asked for, in which order, and how they are put side by side."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, count, islice
from typing import Any, NamedTuple, TypeGuard

import torch
from jaxtyping import Int64
from torch import Tensor

from diffkit.core.types import Batch
from diffkit.standard.data.stream import Split

CHUNK = 32
"""How many rows are loaded at a time, where they are not for training."""


class Some(NamedTuple):
    """Rows of a split to be loaded: those of one device for a step of training, or any where `step` is -1."""

    split: Split
    rows: Sequence[Any]
    step: int = -1
    rank: int = 0
    world: int = 1


class Arranged(ABC):
    """What loaded data may be beside whose rows are not read from anywhere at the same cost."""

    @abstractmethod
    def arrange(self, split: Split, first: int, *key: int | str) -> Iterable[Int64[Tensor, " rows"]]:
        """Each row of a split once, in an order that is a function of the key, from the `first`-th on; in pieces."""


class Streamed(ABC):
    """What loaded data may be beside whose rows come in turn alone: `load` is given what comes."""

    streams: bool = True
    """Whether they do: a choice of the user's may be that they do not."""

    @abstractmethod
    def stream(self, split: Split, epoch: int | None) -> Iterator[Any]:
        """The rows of an epoch, at least one, in an order that is a function of (seed, epoch); of None: of nothing.

        Every device takes all of them, and a resumed run those before its own again: decoding is left to `load`.
        """


def streamed(data: object) -> TypeGuard[Streamed]:
    """Whether rows come in turn alone."""
    return isinstance(data, Streamed) and data.streams


def streamed_batches(data: Streamed, rows: int, batch_size: int, start: int) -> Iterator[list[Any]]:
    """The rows of every batch from the `start`-th on, without end; there are `rows` in an epoch."""
    epoch, first = divmod(start * batch_size, rows)
    given = islice(chain.from_iterable(data.stream("train", e) for e in count(epoch)), first, None)
    while True:
        yield list(islice(given, batch_size))


def chunks(split: Split, rows: Iterable[Any]) -> Iterator[Some]:
    """All rows, some at a time."""
    left = iter(rows)
    while some := list(islice(left, CHUNK)):
        yield Some(split, some)


def alone(value: Any) -> Any:
    """A row's value as a column of one."""
    return value[None] if isinstance(value, Tensor) else torch.tensor([value]) if isinstance(value, int) else [value]


def joined(parts: Sequence[Batch]) -> dict[str, Any]:
    """Batches one after the other."""
    return {
        name: torch.cat([part[name] for part in parts])
        if isinstance(column, Tensor)
        else [value for part in parts for value in part[name]]
        for name, column in parts[0].items()
    }
