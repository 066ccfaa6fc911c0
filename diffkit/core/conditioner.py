"""Conditioners: from a batch's columns to conditions, and the null that stands for none."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from diffkit.core.condition import Condition, ConditionSpec, choose, merge, merge_specs
from diffkit.core.types import Batch


class Conditioner(nn.Module, ABC):
    """Encodes one column of a batch. It knows nothing of dropout or of the null: those belong to the model.

    Several are joined slot by slot, as `Condition` says. What it makes of a text must be the same in every process:
    Python's own `hash` is not, `zlib.crc32` is.
    """

    key: ClassVar[str]
    """The column it reads: `"label"` (b,) integers, `"text"` a list of b strings, `"x"`, or one that data offer."""

    @property
    @abstractmethod
    def spec(self) -> ConditionSpec:
        """The width of each slot that `forward` fills."""

    @abstractmethod
    def forward(self, batch: Batch) -> Condition:
        """The condition of each row of `batch[self.key]`."""


class Prepared(ABC):
    """What a conditioner that learns nothing may be beside: one that encodes the texts of its data before training."""

    @abstractmethod
    def prepare(self, texts: Sequence[str]) -> None:
        """Encode `texts`, so that `forward` looks them up; it is on the device of the training by then.

        They are all different ones that the data may give it, in an order that depends on nothing else. `forward` must
        do with others too: a prompt may be any.
        """


class Null(nn.Module):
    """The learned condition that stands for none, one for each slot of a conditioner."""

    def __init__(self, spec: ConditionSpec) -> None:
        super().__init__()
        self.vector = None if spec.vector is None else nn.Parameter(torch.zeros(spec.vector))
        self.sequence = None if spec.sequence is None else nn.Parameter(torch.zeros(spec.sequence))
        self.spatial = None if spec.spatial is None else nn.Parameter(torch.zeros(spec.spatial))

    def forward(self, rows: int, size: Sequence[int] = ()) -> Condition:
        """The null for `rows` rows: one token where there is a sequence; `size` is that of the spatial slot."""
        sequence, spatial = self.sequence, self.spatial
        return Condition(
            None if self.vector is None else self.vector.expand(rows, -1),
            None if sequence is None else sequence.expand(rows, 1, -1),
            None if sequence is None else torch.ones(rows, 1, dtype=torch.bool, device=sequence.device),
            None if spatial is None else spatial.reshape(-1, *[1] * len(size)).expand(rows, -1, *size),
        )


class Conditioners(nn.Module):
    """An ordered list of conditioners and their nulls; an empty list is an unconditional model.

    A row has no condition of a kind, and gets its null, where the batch lacks the column, or where the column
    holds None (a list) or -1 (a tensor of labels).
    """

    def __init__(self, conditioners: Sequence[Conditioner], size: Sequence[int] = ()) -> None:
        super().__init__()
        self.parts = nn.ModuleList(conditioners)
        self.nulls = nn.ModuleList(Null(c.spec) for c in conditioners)
        self.spec = merge_specs([c.spec for c in conditioners])
        self.keys = [c.key for c in conditioners]
        self.size = tuple(size)

    def prepare(self, texts: Callable[[str], Sequence[str]]) -> None:
        """Let those conditioners that can encode the texts of a column, which `texts` gives, ahead of training."""
        for part, key in zip(self.parts, self.keys, strict=True):
            if isinstance(part, Prepared):
                part.prepare(texts(key))

    def null(self, rows: int) -> Condition:
        """The condition of `rows` rows that were told nothing."""
        return merge([null(rows, self.size) for null in self.nulls])

    def forward(self, batch: Batch, rows: int, keep: Bool[Tensor, "c b"] | None = None) -> Condition:
        """The merged condition of `rows` rows.

        `keep[i]` says for each row whether it keeps the i-th condition (training drops some); None keeps all.
        """
        device = next((p.device for p in self.nulls.parameters()), torch.device("cpu"))
        conditions = []
        for i, (part, null) in enumerate(zip(self.parts, self.nulls, strict=True)):
            assert isinstance(part, Conditioner)  # a ModuleList does not say so
            present = _present(batch.get(part.key), rows, device)
            kept = present if keep is None else present & keep[i]
            conditions.append(_encode(part, null(rows, self.size), batch, present, kept))
        return merge(conditions)


def _present(column: Any, rows: int, device: torch.device) -> Bool[Tensor, " b"]:
    if column is None:
        return torch.zeros(rows, dtype=torch.bool, device=device)
    if isinstance(column, Tensor):
        return torch.ones(rows, dtype=torch.bool, device=device) if column.is_floating_point() else column >= 0
    if None not in column:
        return torch.ones(rows, dtype=torch.bool, device=device)
    return torch.tensor([value is not None for value in column], device=device)


def _encode(part: Conditioner, null: Condition, batch: Batch, present: Tensor, kept: Tensor) -> Condition:
    """`part`'s condition where `kept`, `null` elsewhere; only rows that have the column are encoded."""
    column = batch.get(part.key)
    everywhere = (isinstance(column, list) and None not in column) or bool(present.all())
    if everywhere:
        return choose(kept, part(batch), null)
    if column is None or not bool(present.any()):
        return null
    index = present.nonzero().squeeze(1)
    some = column[index] if isinstance(column, Tensor) else [column[i] for i in index.tolist()]
    place = torch.zeros(len(present), dtype=torch.long, device=present.device)
    place[index] = torch.arange(len(index), device=present.device)
    told = part({part.key: some}).map(lambda a: a[place])
    if told.present is not None:  # a row that is told nothing has all its places
        told = replace(told, present=told.present | ~present.reshape(-1, *[1] * (told.present.ndim - 1)))
    return choose(kept, told, null)
