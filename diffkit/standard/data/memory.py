"""Data small enough to live where the model does: batches are rows of tensors, with no copy and no worker."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, get_args

import torch
from lightning import LightningDataModule
from torch import Tensor

from diffkit.core.data import Augmented, Captioned, Data, DataSpec, order, rows_of
from diffkit.core.errors import DiffkitError
from diffkit.core.noise import generator
from diffkit.core.types import Batch
from diffkit.standard.data.columns import checked

Split = Literal["train", "test"]
TEST_BATCHES = 4
"""How many batches a pass of validation takes."""


class MemoryData(LightningDataModule, Data, Captioned):
    """Columns held in memory, on the model's device.

    Training is one stream without end of batches of `batch_size` rows, in an order that is a function of (seed, epoch).
    Where rows have several strings, a batch takes the same one of each, a function of (seed, step): so it holds few
    different texts to encode. On several devices each takes every `world_size`-th row of a batch, from its rank on.
    """

    start: int = 0
    """The number of batches already consumed: where the stream of a resumed run begins."""

    def __init__(self, spec: DataSpec, batch_size: int, seed: int) -> None:
        super().__init__()
        self.spec, self.batch_size, self.seed = spec, batch_size, seed
        self._splits: dict[Split, Batch] = {}

    @abstractmethod
    def read(self, split: Split) -> Batch:
        """All rows of a split: `"x"` standardised, tensors of labels, and lists of a tuple of strings a row.

        Each string of the tuple suits the row; one string may stand for a tuple of one. A row without a label has -1,
        and one without a caption None.
        """

    def _columns(self, split: Split) -> Batch:
        """What `read` gives, checked; raises `DiffkitError` for what is no caption and no class."""
        return checked(self.read(split), self.spec, f"{type(self).__name__}, {split} split")

    def reference(self, split: Split) -> Batch:
        """All rows of a split, on the CPU; the i-th one with its i-th string (modulo their number)."""
        columns = self._columns(split)
        return _pick(columns, torch.arange(len(columns["x"])))

    def captions(self, column: str) -> Iterator[str]:
        """Every string of every row of both splits."""
        for split in get_args(Split):
            for some in self._on_device(split)[column]:
                yield from some

    def train_dataloader(self) -> Iterable[Batch]:
        """The stream of training batches from the `start`-th on."""
        return _Again(self._stream)

    def val_dataloader(self) -> Iterable[Batch]:
        """A few batches of the test split, always the same."""
        return _Again(self._held_out)  # Lightning takes a list for several loaders

    def _held_out(self) -> Iterator[Batch]:
        columns = self._on_device("test")
        rank, world = self._place()
        batches = torch.split(torch.arange(len(columns["x"])), self.batch_size)[:TEST_BATCHES]
        for index in batches:
            yield _pick(rows_of(columns, index[rank::world]), index[rank::world])

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """The batch as it is: it lies on the device already."""
        return batch

    def _stream(self) -> Iterator[Batch]:
        columns = self._on_device("train")
        rank, world = self._place()
        orders = order(self.seed, len(columns["x"]), self.batch_size, self.start)
        for step, index in enumerate(orders, self.start):
            if isinstance(self, Augmented):  # of the whole batch, so that it is the same on any number of devices
                whole = self.augment(rows_of(columns, index), generator("augment", self.seed, step))
                rows = rows_of(whole, torch.arange(rank, len(index), world))
            else:
                rows = rows_of(columns, index[rank::world])
            wording = torch.randint(2**31, (1,), generator=generator("wording", self.seed, step))
            yield _pick(rows, wording.expand(len(rows["x"])))

    def _on_device(self, split: Split) -> Batch:
        if split not in self._splits:
            device = torch.device("cpu") if self.trainer is None else self.trainer.strategy.root_device
            self._splits[split] = {
                name: column.to(device) if isinstance(column, Tensor) else column
                for name, column in self._columns(split).items()
            }
        return self._splits[split]

    def _place(self) -> tuple[int, int]:
        rank, world = (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)
        if self.batch_size % world:
            raise DiffkitError(
                f"data.batch_size={self.batch_size} cannot be shared by {world} devices: it is the number of rows on "
                "all of them together, so choose a multiple of theirs"
            )
        return rank, world


class _Again:
    """An iterable that starts afresh each time it is asked."""

    def __init__(self, start: Callable[[], Iterator[Batch]]) -> None:
        self._start = start

    def __iter__(self) -> Iterator[Batch]:
        return self._start()


def _pick(columns: Batch, choice: Tensor) -> dict[str, Any]:
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
