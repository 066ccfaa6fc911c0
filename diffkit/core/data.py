"""Data: what a set of samples says of itself, and its order in training."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core.bad import BadSample, Policy
from diffkit.core.noise import generator
from diffkit.core.types import Batch, Shape

if TYPE_CHECKING:
    from PIL.Image import Image

KNOWN = "known"
"""The column that is True for the numbers of `"x"` that there are (b, *shape); it is left out where there are all.

The others are 0 in standardised rows, NaN in the data's own units, and teach nothing.
"""


@dataclass(frozen=True)
class DataSpec:
    """What a model needs to know of its data, and a bundle carries: plain values, so that it can be saved as JSON."""

    shape: Shape
    """Of one sample."""
    conditions: Mapping[str, int | None] = field(default_factory=dict)
    """The columns offered beside `"x"`: the number of classes for labels, None for text."""
    unit: str | tuple[str, ...] = ""
    """The physical unit of the values, as the data come: `"grey level"`, `"cm"`; or one for each entry of the first
    axis of a sample, as `("mm", "g")`."""
    mean: tuple[float, ...] = (0.0,)
    """One number, or one for each entry of the first axis of a sample, in `unit`."""
    scale: tuple[float, ...] = (1.0,)
    """As `mean`: what one unit of the model's space is in `unit`; the standardised data have unit variance."""
    low: float | None = None
    """No value is below this, in `unit` (None: unbounded)."""
    high: float | None = None
    """No value is above this, in `unit`."""
    licence: str = ""
    """Who made the data, and on what terms they and what is learned from them may be passed on: it goes with both."""
    quantum: float | None = None
    """Every value is `low` and a whole number of these, in `unit` (None: values are continuous)."""
    names: tuple[str, ...] = ()
    """What the entries of the first axis of a sample are called: the columns of a table, `("x", "y", "z")`."""
    class_names: tuple[str, ...] = ()
    """What the classes of the column `"label"` are called, in order."""
    centred: bool = False
    """Whether a sample is points, in columns, whose mean is at the origin: samples are moved there."""

    def standardise(self, x: Float[Tensor, " b *d"]) -> Float[Tensor, " b *d"]:
        """From the data's own units to zero mean and unit variance."""
        return (x - self._like(self.mean, x)) / self._like(self.scale, x)

    def restore(self, x: Float[Tensor, " b *d"]) -> Float[Tensor, " b *d"]:
        """From standardised values to the data's own units, kept between `low` and `high`."""
        x = x * self._like(self.scale, x) + self._like(self.mean, x)
        return x if self.low is None and self.high is None else x.clamp(self.low, self.high)

    def own(self, rows: Batch) -> dict[str, Any]:
        """Standardised rows in the data's own units, with NaN for the values that are not there (`KNOWN`)."""
        x = self.restore(rows["x"])
        return {**rows, "x": x.where(rows[KNOWN], torch.nan) if KNOWN in rows else x}

    @property
    def log_volume(self) -> float:
        """The logarithm of the volume that a row of unit volume in the model's space has in the data's own units."""
        return math.prod(self.shape) * sum(map(math.log, self.scale)) / len(self.scale)

    @property
    def units(self) -> tuple[str, ...]:
        """The unit of each entry of the first axis."""
        return self.unit if isinstance(self.unit, tuple) else (self.unit,) * self.shape[0]

    def _like(self, values: tuple[float, ...], x: Tensor) -> Tensor:
        return torch.tensor(values, dtype=x.dtype, device=x.device).reshape(-1, *[1] * (x.ndim - 2))

    def to_dict(self) -> dict[str, Any]:
        """The spec as plain JSON values."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "DataSpec":
        """The spec that `to_dict` gave `values` for."""
        fields: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
        return cls(**fields)


class Drawing(ABC):
    """What draws samples of one kind of data."""

    spec: DataSpec

    @abstractmethod
    def draw(self, x: Float[Tensor, "rows columns *d"], titles: Sequence[str] = ()) -> "Image":
        """A picture of samples in the data's own units, laid out in rows and columns.

        `titles` are those of the columns. Pictures take a tile each; points of one panel are drawn in it together:
        then `x` is (rows, columns, n, *shape), n points a panel.
        """


class Data(Drawing):
    """A set of samples: a part of this kind is a `LightningDataModule` that implements this interface too.

    Its loaders yield batches: dicts with `"x"` (b, *shape), standardised, and the columns of `spec.conditions`.
    Its constructor reads and loads nothing but what `spec` needs; `setup` does the rest.
    """

    start: int = 0
    """The number of batches already consumed, set when a run is resumed: training goes on with the batch after them."""

    @abstractmethod
    def reference(self, split: Literal["train", "test"]) -> Batch:
        """All rows (or a large sample of them) of one split, standardised, with their conditions."""


class Portable(ABC):
    """What data may be beside whose samples can be drawn on a machine that has no copy of the data."""

    @classmethod
    @abstractmethod
    def drawing(cls, spec: DataSpec, rows: Callable[[], Batch | None]) -> Drawing:
        """What draws samples of data of this spec, which is all that it needs.

        `rows` gives rows of the training split, in the data's own units, for drawing them beside the samples; None
        where the data are not at hand. It reads them when it is called.
        """


class Captioned(ABC):
    """What data may be beside whose rows have several texts each, or are more than `reference` gives."""

    @abstractmethod
    def captions(self, column: str) -> Iterable[str]:
        """Every text that a batch of either split may have in a column."""


class Augmented(ABC):
    """What data may be beside whose training rows are changed at random each time they are seen."""

    augments: bool = True
    """Whether they are: a choice of the user's may be that they are not."""

    @abstractmethod
    def augment(self, rows: Batch, stream: torch.Generator) -> Batch:
        """The rows of a training batch, changed.

        All that is random comes from `stream`, which is on the CPU and a function of (seed, step).
        """


class Depicted(ABC):
    """What data may be beside whose pictures show what a sample was told, such as the elements of atoms."""

    @abstractmethod
    def depict(self, x: Float[Tensor, "rows columns *d"], columns: Batch, titles: Sequence[str] = ()) -> "Image":
        """As `Drawing.draw`, told the columns of the samples: an entry for each, row by row; not all may be there."""


class Scanned(ABC):
    """What data may be beside whose rows are read as training goes: `diffkit check` reads all of them once."""

    on_bad: Policy

    @property
    @abstractmethod
    def total(self) -> int:
        """How many rows there are in all splits."""

    @abstractmethod
    def scan(self) -> Iterator[BadSample | None]:
        """For each row of all splits in turn, what is wrong with it, or None."""


class Numbered(ABC):
    """What data may be beside that can say which rows a batch had, so that a row that spoils training is named."""

    @abstractmethod
    def numbers(self, batch: int) -> Sequence[Any]:
        """The rows of the training split that the given batch has on all devices, in order; none if that is unknown."""


class Keeping(ABC):
    """What data may be beside that can keep what is made of each row, so that it is made once."""

    @abstractmethod
    def keep(self, column: str, make: Callable[[Tensor], Tensor], digest: str) -> None:
        """Give each batch from now on a column with `make` of its rows' `"x"`.

        `make` takes and gives any number of rows, from and to any device; a row's result depends on nothing but the row
        and what `digest` is the digest of, so that it may be kept on disk.
        """


def texts(data: Data, column: str) -> list[str]:
    """The different texts of a column of both splits, in alphabetical order."""
    if isinstance(data, Captioned):
        return sorted(set(data.captions(column)))
    splits: tuple[Literal["train", "test"], ...] = ("train", "test")
    return sorted({text for split in splits for text in data.reference(split)[column] if text is not None})


def rows_of(columns: Batch, index: Tensor) -> dict[str, Any]:
    """The rows `index` of every column; lists are indexed one by one."""
    listed = index.tolist() if any(isinstance(c, list) for c in columns.values()) else []
    return {name: [c[i] for i in listed] if isinstance(c, list) else c[index] for name, c in columns.items()}


def epoch_order(seed: int, epoch: int, rows: int) -> Tensor:
    """The order of the rows in one epoch: a permutation that depends on `(seed, epoch)` alone."""
    return torch.randperm(rows, generator=generator("order", seed, epoch))


def order(seed: int, rows: int, batch_size: int, start: int = 0) -> Iterator[Tensor]:
    """The rows of every batch from the `start`-th on, without end; an epoch's remainder begins the next batch."""
    return batches(lambda epoch, first: [epoch_order(seed, epoch, rows)[first:]], rows, batch_size, start)


def batches(
    arrange: Callable[[int, int], Iterable[Tensor]], rows: int, batch_size: int, start: int = 0
) -> Iterator[Tensor]:
    """As `order`, where `arrange(epoch, first)` gives the rows of an epoch from the `first`-th on, in pieces."""
    now, first = divmod(start * batch_size, rows)
    left = torch.empty(0, dtype=torch.long)
    for epoch in count(now):
        for piece in arrange(epoch, first if epoch == now else 0):
            left = torch.cat([left, piece])
            while len(left) >= batch_size:
                yield left[:batch_size]
                left = left[batch_size:]
