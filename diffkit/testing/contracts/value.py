"""The contract of every part without tensors: it is an immutable value."""

from dataclasses import is_dataclass, replace
from typing import Any

from torch import nn

from diffkit.testing.contracts.require import require


def check_value(part: Any, key: bool = True) -> None:
    """Raise `AssertionError` unless a part that holds no tensors is a frozen dataclass of plain values.

    It is equal to a copy of itself, and with `key` fit to be that of a cache.
    """
    if isinstance(part, nn.Module):
        return
    cls = type(part)
    frozen = is_dataclass(cls) and getattr(cls, "__dataclass_params__").frozen  # noqa: B009  # of no public type
    require(frozen, part, f"the class {cls.__name__} is no frozen dataclass: write @dataclass(frozen=True) above it")
    again = replace(part)
    try:
        same = part == again and (not key or hash(part) == hash(again))
    except TypeError as error:
        raise AssertionError(f"{part}: a field cannot be hashed ({error}): use tuples where there are lists") from None
    require(same, part, "is not equal to a copy of itself: its fields must be plain values")
