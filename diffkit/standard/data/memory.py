"""Data small enough to live where the model does: batches are rows of tensors, with no copy and no worker."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import get_args

import torch
from lightning import LightningDataModule
from torch import Tensor

from diffkit.core.data import Augmented, Captioned, Data, DataSpec, Keeping, Numbered, order, rows_of
from diffkit.core.noise import generator
from diffkit.core.types import Batch
from diffkit.standard.data.columns import checked
from diffkit.standard.data.stream import TEST_BATCHES, Again, Split as Split, device, pick, place, wording

REFERENCE = 10_000
"""How many rows of a split stand for it where it has more."""
CHUNK = 256
"""How many rows are made something of at a time."""


class MemoryData(LightningDataModule, Data, Captioned, Keeping, Numbered):
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
        """The rows of a split, on the CPU; the i-th one with its i-th string (modulo their number).

        All of them, or 10 000 at equal distances where there are more.
        """
        columns = self._columns(split)
        rows = len(columns["x"])
        index = torch.linspace(0, rows - 1, min(rows, REFERENCE), dtype=torch.float64).round().long()
        return pick(rows_of(columns, index), index)

    def captions(self, column: str) -> Iterator[str]:
        """Every string of every row of both splits."""
        for split in get_args(Split):
            for some in self._on_device(split)[column]:
                yield from some

    def keep(self, column: str, make: Callable[[Tensor], Tensor], digest: str) -> None:
        """See `Keeping`: the column is in memory, too."""
        for split in get_args(Split):
            columns = self._on_device(split)
            made = torch.cat([make(x) for x in columns["x"].split(CHUNK)])
            self._splits[split] = {**columns, column: made.to(columns["x"].device)}

    def numbers(self, batch: int) -> list[int]:
        """The places of a batch's rows in the training split."""
        rows: list[int] = next(order(self.seed, len(self._on_device("train")["x"]), self.batch_size, batch)).tolist()
        return rows

    def train_dataloader(self) -> Iterable[Batch]:
        """The stream of training batches from the `start`-th on."""
        return Again(self._stream)

    def val_dataloader(self) -> Iterable[Batch]:
        """A few batches of the test split, always the same."""
        return Again(self._held_out)  # Lightning takes a list for several loaders

    def _held_out(self) -> Iterator[Batch]:
        columns = self._on_device("test")
        rank, world = place(self, self.batch_size)
        batches = torch.split(torch.arange(len(columns["x"])), self.batch_size)[:TEST_BATCHES]
        for index in batches:
            yield pick(rows_of(columns, index[rank::world]), index[rank::world])

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """The batch as it is: it lies on the device already."""
        return batch

    def _stream(self) -> Iterator[Batch]:
        columns = self._on_device("train")
        rank, world = place(self, self.batch_size)
        orders = order(self.seed, len(columns["x"]), self.batch_size, self.start)
        for step, index in enumerate(orders, self.start):
            if isinstance(self, Augmented):  # of the whole batch, so that it is the same on any number of devices
                whole = self.augment(rows_of(columns, index), generator("augment", self.seed, step))
                rows = rows_of(whole, torch.arange(rank, len(index), world))
            else:
                rows = rows_of(columns, index[rank::world])
            yield pick(rows, wording(self.seed, step, len(rows["x"])))

    def _on_device(self, split: Split) -> Batch:
        if split not in self._splits:
            where = device(self)
            self._splits[split] = {
                name: column.to(where) if isinstance(column, Tensor) else column
                for name, column in self._columns(split).items()
            }
        return self._splits[split]
