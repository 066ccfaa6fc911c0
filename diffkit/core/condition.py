"""Conditions: what a denoiser is told beside x_t, in typed slots."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import pad


@dataclass(frozen=True)
class ConditionSpec:
    """The width of each slot of a condition, or None where the slot is not used."""

    vector: int | None = None
    """d, of `Condition.vector`."""
    sequence: int | None = None
    """e, of the tokens in `Condition.sequence`."""
    spatial: int | None = None
    """c, the channels of `Condition.spatial`."""
    present: bool = False
    """Whether `Condition.present` is filled."""


@dataclass(frozen=True)
class Condition:
    """An encoded condition for b rows. A slot that is not used is None; `Condition()` conditions on nothing."""

    vector: Float[Tensor, "b d"] | None = None
    """(b, d): one vector a row. Those of several conditioners are put side by side."""
    sequence: Float[Tensor, "b l e"] | None = None
    """(b, l, e): tokens, always with a `mask`. Those of several conditioners follow each other, padded to one width."""
    mask: Bool[Tensor, "b l"] | None = None
    """(b, l): true where `sequence` holds a token; None where there is no sequence."""
    spatial: Float[Tensor, "b c *s"] | None = None
    """(b, c, *s): channels over the data's own axes of space. Those of several conditioners are stacked."""
    present: Bool[Tensor, " b *s"] | None = None
    """(b, *s): which places of the data's axes of space a row has: points that are padding are false; None: all are
    there. Dropping a condition does not change it, and with several conditioners a place is one that all of them have.
    """

    def map(self, f: Callable[[Tensor], Tensor]) -> "Condition":
        """The condition with `f` applied to every tensor in it."""
        tensors = {field.name: getattr(self, field.name) for field in fields(self)}
        return Condition(**{name: None if a is None else f(a) for name, a in tensors.items()})


def _slot(conditions: Sequence[Condition], name: str) -> list[Tensor]:
    return [a for a in (getattr(c, name) for c in conditions) if a is not None]


def merge_specs(specs: Sequence[ConditionSpec]) -> ConditionSpec:
    """The widths of `merge`d conditions."""

    def widths(name: str) -> list[int]:
        return [w for w in (getattr(s, name) for s in specs) if w is not None]

    vector, sequence, spatial = widths("vector"), widths("sequence"), widths("spatial")
    present = any(s.present for s in specs)
    return ConditionSpec(sum(vector) or None, max(sequence, default=None), sum(spatial) or None, present)


def merge(conditions: Sequence[Condition]) -> Condition:
    """Several conditions of the same rows as one.

    Vectors and channels are put side by side; sequences one after the other, the narrower padded with zeros.
    """
    vector, spatial = _slot(conditions, "vector"), _slot(conditions, "spatial")
    sequence, mask = _slot(conditions, "sequence"), _slot(conditions, "mask")
    width = max((s.shape[-1] for s in sequence), default=0)
    return Condition(
        torch.cat(vector, 1) if vector else None,
        torch.cat([pad(s, (0, width - s.shape[-1])) for s in sequence], 1) if sequence else None,
        torch.cat(mask, 1) if mask else None,
        torch.cat(spatial, 1) if spatial else None,
        _all(_slot(conditions, "present")),
    )


def _all(present: Sequence[Tensor]) -> Tensor | None:
    return torch.stack(list(present)).all(0) if present else None


def stack(conditions: Sequence[Condition]) -> Condition:
    """The rows of several conditions of the same slots, one after the other; shorter sequences are padded.

    Where some say which places there are, rows of the others have all of them.
    """
    length = max((s.shape[1] for s in _slot(conditions, "sequence")), default=0)
    conditions = [_padded(c, length) for c in conditions]

    def below(name: str) -> Tensor | None:
        rows = _slot(conditions, name)
        return torch.cat(rows) if rows else None

    places = _places(conditions)
    return Condition(below("vector"), below("sequence"), below("mask"), below("spatial"), places)


def _places(conditions: Sequence[Condition]) -> Tensor | None:
    said = _slot(conditions, "present")
    if not said:
        return None
    everywhere = [
        said[0].new_ones(_rows(c), *said[0].shape[1:]) if c.present is None else c.present for c in conditions
    ]
    return torch.cat(everywhere)


def _rows(condition: Condition) -> int:
    slots = (getattr(condition, field.name) for field in fields(condition))
    return next((len(a) for a in slots if a is not None), 0)


def _padded(condition: Condition, length: int) -> Condition:
    """With `length` tokens a row, if there are any."""
    s, m = condition.sequence, condition.mask
    if s is None or m is None or s.shape[1] == length:
        return condition
    more = length - s.shape[1]
    return replace(condition, sequence=pad(s, (0, 0, 0, more)), mask=pad(m, (0, more)))


def choose(keep: Bool[Tensor, " b"], a: Condition, b: Condition) -> Condition:
    """Row by row, `a` where `keep` and `b` elsewhere; both have the same slots and rows. Places are those of `a`."""
    length = max((s.shape[1] for s in _slot([a, b], "sequence")), default=0)
    a, b = _padded(a, length), _padded(b, length)

    def pick(name: str) -> Tensor | None:
        x, y = getattr(a, name), getattr(b, name)
        return None if x is None else torch.where(keep.reshape(-1, *[1] * (x.ndim - 1)), x, y)

    present = b.present if a.present is None else a.present
    return Condition(pick("vector"), pick("sequence"), pick("mask"), pick("spatial"), present)


def mix(a: Condition, b: Condition, share: Float[Tensor, " b"]) -> Condition:
    """Row by row, from `a` (share 0) to `b` (share 1), both of the same slots, on a straight line.

    The shorter sequence is padded with zeros; in between, tokens of either are there, and places of both.
    """
    n = len(share)
    both = stack([a, b])

    def line(name: str) -> Tensor | None:
        tensor: Tensor | None = getattr(both, name)
        if tensor is None:
            return None
        u = share.to(tensor).reshape(-1, *[1] * (tensor.ndim - 1))
        return (1 - u) * tensor[:n] + u * tensor[n:]

    mask = both.mask
    if mask is not None:
        mask = (mask[:n] & (share < 1)[:, None]) | (mask[n:] & (share > 0)[:, None])
    present = None if both.present is None else both.present[:n] & both.present[n:]
    return Condition(line("vector"), line("sequence"), mask, line("spatial"), present)
