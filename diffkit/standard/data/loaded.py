"""Data too large for memory: their rows are read and decoded as training goes, by processes of their own."""

import json
import math
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar, get_args
from warnings import warn

import torch
from lightning import LightningDataModule
from torch import Tensor

from diffkit.core.bad import BadSample, BadSamples, Policy
from diffkit.core.data import Augmented, Captioned, Data, DataSpec, Keeping, Numbered, Scanned, batches, rows_of
from diffkit.core.errors import DiffkitError, DiffkitWarning
from diffkit.core.noise import generator
from diffkit.core.types import Batch
from diffkit.standard.data.latents import Latents, digest as digest_of
from diffkit.standard.data.stream import TEST_BATCHES, Again, Split, device, pick, place, wording
from diffkit.standard.data.tables.cache import root
from diffkit.standard.data.turns import Arranged, Some, alone, chunks, joined, streamed, streamed_batches
from diffkit.standard.data.workers import ahead, cores

REFERENCE = 2048
"""The most rows that `reference` gives of a split ..."""
NUMBERS = 2**28
"""... and the most numbers: 1 GB."""
DIGEST = "digest"
"""The column of the digest of each row's content, where something is kept of it."""
TRIES = 100
"""How many rows may be bad one after the other before there is none that stands in for the first."""
R = TypeVar("R")


class LoadedData(LightningDataModule, Data, Captioned, Scanned, Keeping, Numbered):
    """Rows that are read from where they lie each time they are needed; a subclass says how many there are, and reads.

    Training is the same stream of batches as `MemoryData`'s: in an order that is a function of (seed, epoch), from any
    step on, with every `world_size`-th row of a batch on each device, which reads no other. The batches are the same
    for any number of `workers`, the processes that read ahead (0: none; None: one less than there are cores, at most
    8). What `augment` does to a row is a function of (seed, step, place in the batch).

    A row that is bad ends the run (`on_bad` "error"), or the next row of its split that is not stands in for it
    ("skip"): then it is listed in `bad_samples.jsonl` in the run's folder, and more than 1 % of all rows end the run.
    """

    start: int = 0
    """The number of batches already consumed: where the stream of a resumed run begins."""

    def __init__(
        self, spec: DataSpec, batch_size: int, seed: int, workers: int | None = None, on_bad: Policy = "error"
    ) -> None:
        super().__init__()
        self.spec, self.batch_size, self.seed, self.on_bad = spec, batch_size, seed, on_bad
        self.workers = cores() if workers is None else workers
        self._kept: dict[Split, dict[str, Any]] = {}
        self._latents: dict[Split, tuple[str, Latents]] = {}
        self._keeps = False

    @abstractmethod
    def count(self, split: Split) -> int:
        """How many rows a split has, the bad ones too."""

    @abstractmethod
    def load(self, split: Split, row: int) -> Batch:
        """One row: `"x"` (*shape), in the data's own units, of any dtype; a label (-1: none); a tuple of strings.

        It must depend on nothing but the row, since any process may be asked. Raises `BadSample` for one that cannot be
        used.
        """

    @property
    def total(self) -> int:
        """How many rows there are in both splits."""
        return sum(self.count(split) for split in get_args(Split))

    def scan(self) -> Iterator[BadSample | None]:
        """What is wrong with each row, or None; every row is read once."""
        for split in get_args(Split):
            rows = self.stream(split, None) if streamed(self) else range(self.count(split))
            for found in self._through(self._inspect, chunks(split, rows)):
                yield from found

    def reference(self, split: Split) -> Batch:
        """At most 2048 rows of a split, always the same, in an order without meaning; the i-th with its i-th string."""
        columns = self._sample(split)
        rows = torch.arange(len(columns["x"]))
        return pick({**columns, "x": self.spec.standardise(columns["x"].float())}, rows)

    def keep(self, column: str, make: Callable[[Tensor], Tensor], digest: str) -> None:
        """See `Keeping`: it is on disk, in `$DIFFKIT_CACHE`, and made of a row when that is first seen."""
        if streamed(self):
            raise DiffkitError("what is made of rows that come in turn alone cannot be kept: read them from files")
        about = json.dumps([digest, self.spec.to_dict(), [self.count(split) for split in get_args(Split)]])
        folder = root() / "latents" / sha256(about.encode()).hexdigest()[:24]
        for split in get_args(Split):
            self._latents[split] = column, Latents(folder / split, self.count(split), make)
        self._keeps = True

    def numbers(self, batch: int) -> list[Any]:
        """What `load` is given for a batch's rows; rows that come in turn alone have no numbers."""
        if streamed(self):
            return []
        rows: list[Any] = next(batches(self._epoch, self.count("train"), self.batch_size, batch)).tolist()
        return rows

    def train_dataloader(self) -> Iterable[Batch]:
        """The stream of training batches from the `start`-th on."""
        return Again(self._stream)

    def val_dataloader(self) -> Iterable[Batch]:
        """A few batches of the test split, always the same: the first rows of its `reference`."""
        return Again(self._held_out)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """The batch as it is: it lies on the device already."""
        return batch

    def teardown(self, stage: str) -> None:
        """Say how many rows were bad, once training is over."""
        if stage == "fit" and (said := self._bad.summary()):
            warn(said, DiffkitWarning, stacklevel=2)

    def __getstate__(self) -> dict[str, Any]:
        """What a worker needs, where it is started and not forked."""
        return {**self.__dict__, "trainer": None, "_kept": {}, "_latents": {}}

    @cached_property
    def _bad(self) -> BadSamples:
        return BadSamples(self.on_bad, self.total)

    def _stream(self) -> Iterator[Batch]:
        rank, world = place(self, self.batch_size)
        asked = deque[Some]()

        def turns() -> Iterator[Some]:
            for step, rows in enumerate(self._batches(), self.start):
                asked.append(Some("train", rows[rank::world], step, rank, world))
                yield asked[-1]

        for step, loaded in enumerate(self._through(self._batch, turns()), self.start):
            rows = asked.popleft().rows
            columns = self._taken(*loaded)
            digests = columns.pop(DIGEST, ())
            batch = self._with_latents("train", rows, digests, self._ready(columns))
            yield pick(batch, wording(self.seed, step, len(batch["x"])))

    def _held_out(self) -> Iterator[Batch]:
        columns = self._sample("test")
        rank, world = place(self, self.batch_size)
        for index in torch.split(torch.arange(len(columns["x"])), self.batch_size)[:TEST_BATCHES]:
            share = index[rank::world]
            some = rows_of(columns, share)
            digests = [digest_of(x) for x in some["x"]] if self._keeps else []
            rows = self._places("test")[share].tolist() if self._keeps else []
            yield pick(self._with_latents("test", rows, digests, self._ready(some)), share)

    def _with_latents(
        self, split: Split, rows: Sequence[Any], digests: Sequence[bytes], batch: dict[str, Any]
    ) -> Batch:
        """The batch of these rows of the split, with the column that is kept of them, if one is."""
        if not self._keeps:
            return batch
        column, kept = self._latents[split]
        return {**batch, column: kept(rows, digests, batch["x"])}

    def _ready(self, columns: dict[str, Any]) -> dict[str, Any]:
        """Columns as they were loaded, standardised on the model's device: bytes travel faster than floats."""
        where = device(self)
        there = {
            name: column.to(where, non_blocking=True) if isinstance(column, Tensor) else column
            for name, column in columns.items()
        }
        return {**there, "x": self.spec.standardise(there["x"].float())}

    def _sample(self, split: Split) -> dict[str, Any]:
        """The rows of `reference`, as they were loaded."""
        if split not in self._kept:
            most = self._most
            rows = list(islice(self.stream(split, None), most)) if streamed(self) else self._places(split).tolist()
            if not rows:
                raise DiffkitError(f"the {split} split of these data has no rows: a run needs some in each of its two")
            loaded = self._through(self._batch, chunks(split, rows))
            self._kept[split] = joined([self._taken(*some) for some in loaded])
            self._kept[split].pop(DIGEST, None)
        return self._kept[split]

    def _places(self, split: Split) -> Tensor:
        """Which rows `reference` gives."""
        some = torch.empty(0, dtype=torch.long)
        for piece in self._arranged(split, 0, "reference", split):
            some = torch.cat([some, piece])
            if len(some) >= self._most:
                break
        return some[: self._most]

    @property
    def _most(self) -> int:
        """How many rows `reference` gives."""
        return max(1, min(REFERENCE, NUMBERS // math.prod(self.spec.shape)))

    def _batches(self) -> Iterator[list[Any]]:
        """The rows of every batch of training from the `start`-th on."""
        asked = self.count("train"), self.batch_size, self.start
        if streamed(self):
            return streamed_batches(self, *asked)
        return (some.tolist() for some in batches(self._epoch, *asked))

    def _epoch(self, epoch: int, first: int) -> Iterable[Tensor]:
        return self._arranged("train", first, "order", self.seed, epoch)

    def _arranged(self, split: Split, first: int, *key: int | str) -> Iterable[Tensor]:
        if isinstance(self, Arranged):
            return self.arrange(split, first, *key)
        return [torch.randperm(self.count(split), generator=generator(*key))[first:]]

    def _through(self, function: Callable[[Some], R], items: Iterable[Some]) -> Iterator[R]:
        return ahead(function, items, self.workers, device(self).type == "cuda")

    def _taken(self, columns: dict[str, Any] | None, bad: list[BadSample]) -> dict[str, Any]:
        """The columns that a worker made; raises `DiffkitError` for bad rows that are not to be skipped."""
        folder = None if self.trainer is None else Path(self.trainer.default_root_dir)
        self._bad.note(bad, folder)
        if columns is None:
            raise DiffkitError(f"{TRIES} rows in turn are bad, the last of them {bad[-1]}: mend or remove them")
        return columns

    def _batch(self, some: Some) -> tuple[dict[str, Any] | None, list[BadSample]]:
        """The rows side by side, None if there are not enough; and those that were bad."""
        rows, bad = [], list[BadSample]()
        for number, row in enumerate(some.rows):
            one = self._whole(some.split, row, bad)
            if one is None:
                return None, bad
            if some.step >= 0 and isinstance(self, Augmented):
                where = some.rank + number * some.world
                one = dict(self.augment(one, generator("augment", self.seed, some.step, where)))
            rows.append(one)
        return joined(rows), bad

    def _whole(self, split: Split, row: Any, bad: list[BadSample]) -> dict[str, Any] | None:
        """A row as a batch of one, or the next that is not bad; None if there is none, or none is wanted."""
        for further in range(1 if self.on_bad == "error" else TRIES):
            try:
                return self._one(split, (row + further) % self.count(split) if further else row)
            except BadSample as found:
                bad.append(found)
        return None

    def _one(self, split: Split, row: Any) -> dict[str, Any]:
        loaded = self.load(split, row)
        x = loaded["x"]
        if tuple(x.shape) != self.spec.shape:
            raise BadSample(f"row {row} of the {split} split", f"its shape is {tuple(x.shape)}, not {self.spec.shape}")
        if x.is_floating_point() and not x.isfinite().all():
            raise BadSample(f"row {row} of the {split} split", "it has values that are NaN or infinite")
        columns = {name: alone(value) for name, value in loaded.items()}
        return {**columns, DIGEST: [digest_of(x)]} if self._keeps else columns

    def _inspect(self, some: Some) -> list[BadSample | None]:
        return [self._fault(some.split, row) for row in some.rows]

    def _fault(self, split: Split, row: Any) -> BadSample | None:
        try:
            self._one(split, row)
        except BadSample as found:
            return found
        return None
