"""What all streams of training batches have in common: one wording a row, a share for each device, a fresh start."""

from collections.abc import Callable, Iterator
from typing import Any, Literal

import torch
from jaxtyping import Int
from lightning import LightningDataModule
from torch import Tensor

from diffkit.core.errors import DiffkitError
from diffkit.core.noise import generator
from diffkit.core.types import Batch

Split = Literal["train", "test"]
TEST_BATCHES = 4
"""How many batches a pass of validation takes."""


class Again:
    """An iterable that starts afresh each time it is asked."""

    def __init__(self, start: Callable[[], Iterator[Batch]]) -> None:
        self._start = start

    def __iter__(self) -> Iterator[Batch]:
        return self._start()


def place(data: LightningDataModule, batch_size: int) -> tuple[int, int]:
    """This device's rank and how many devices there are; raises `DiffkitError` if they cannot share a batch."""
    trainer = data.trainer
    rank, world = (0, 1) if trainer is None else (trainer.global_rank, trainer.world_size)
    if batch_size % world:
        raise DiffkitError(
            f"data.batch_size={batch_size} cannot be shared by {world} devices: it is the number of rows on "
            "all of them together, so choose a multiple of theirs"
        )
    return rank, world


def device(data: LightningDataModule) -> torch.device:
    """Where the model is that the data are for."""
    return torch.device("cpu") if data.trainer is None else data.trainer.strategy.root_device


def wording(seed: int, step: int, rows: int) -> Int[Tensor, " b"]:
    """Which of its strings each row of a training batch shows: the same number for all, a function of (seed, step)."""
    return torch.randint(2**31, (1,), generator=generator("wording", seed, step)).expand(rows)


def pick(columns: Batch, choice: Int[Tensor, " b"]) -> dict[str, Any]:
    """The batch with one string for each row where there is a tuple of them: the `choice`-th, modulo their number.

    None where the tuple is empty.
    """
    numbers = choice.tolist()
    return {
        name: [some[i % len(some)] if some else None for some, i in zip(column, numbers, strict=True)]
        if isinstance(column, list)
        else column
        for name, column in columns.items()
    }
