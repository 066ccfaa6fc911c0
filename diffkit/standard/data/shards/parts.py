"""The rows of a split, which are those of shards, and an order in which rows of few shards are read at a time."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int64
from numpy.typing import NDArray
from torch import Tensor

from diffkit.core.noise import generator
from diffkit.standard.data.shards.headers import Rows


@dataclass(frozen=True)
class Part:
    """Some rows of each shard, numbered through."""

    shards: Sequence[str]
    rows: Rows
    """Of which these are a part."""
    first: NDArray[np.int64]
    """The place in `rows` of the first row of each shard."""
    ends: NDArray[np.int64]
    """For each shard, one more than the number of its last row."""

    @property
    def sizes(self) -> NDArray[np.int64]:
        """How many rows each shard has."""
        return np.diff(self.ends, prepend=0)

    def __len__(self) -> int:
        return int(self.ends[-1])

    def find(self, row: int) -> tuple[str, np.void]:
        """The shard of a row, and what is known of the row."""
        shard = int(np.searchsorted(self.ends, row, side="right"))
        return self.shards[shard], self.rows[self.first[shard] + row - self._start(shard)]

    def groups(self, size: int, *key: int | str) -> list[list[int]]:
        """The shards that have rows, in an order that is a function of the key, so many at a time."""
        there = torch.from_numpy(np.flatnonzero(self.sizes))
        mixed = there[torch.randperm(len(there), generator=generator(*key))].tolist()
        return [mixed[i : i + size] for i in range(0, len(mixed), size)]

    def mixed(self, group: Sequence[int], *key: int | str) -> Int64[Tensor, " rows"]:
        """All rows of some shards in an order that is a function of the key."""
        rows = torch.cat([torch.arange(self._start(shard), int(self.ends[shard])) for shard in group])
        return rows[torch.randperm(len(rows), generator=generator(*key))]

    def size(self, group: Sequence[int]) -> int:
        """How many rows some shards have."""
        return sum(int(self.ends[shard]) - self._start(shard) for shard in group)

    def _start(self, shard: int) -> int:
        return int(self.ends[shard - 1]) if shard else 0


def parted(shards: Sequence[str], rows: Rows, ends: NDArray[np.int64], share: float) -> tuple[Part, Part]:
    """Two parts: all rows but a share of them, and those, whose keys have the lowest checksums."""
    starts = np.concatenate([[0], ends[:-1]]).astype(np.int64)
    held = np.zeros(len(shards), dtype=np.int64)
    if share:
        places = np.array(rows["place"])
        number = min(max(1, round(share * len(places))), len(places))
        most = np.partition(places, number - 1)[number - 1]
        held = np.array(
            [np.searchsorted(places[start:end], most, side="right") for start, end in zip(starts, ends, strict=True)],
            dtype=np.int64,
        )
    kept = Part(shards, rows, starts + held, np.cumsum(ends - starts - held))
    return kept, Part(shards, rows, starts, np.cumsum(held))
