"""The two ways in which a contract is found broken, and how it is seen that something was written into."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor


def require(kept: bool, part: Any, message: str) -> None:
    """Raise `AssertionError` with the part and the message unless `kept`."""
    if not kept:
        raise AssertionError(f"{part}: {message}")


def require_close(part: Any, what: str, got: Tensor, wanted: Tensor, relative: float) -> None:
    """Require that `got` is `wanted` to `relative` of the largest of `wanted` (or of 1, if that is less)."""
    shapes = tuple(got.shape), tuple(wanted.shape)
    require(shapes[0] == shapes[1], part, f"{what} is of shape {shapes[0]}, not {shapes[1]}")
    require(bool(torch.isfinite(got).all()), part, f"{what} is not finite: {got.flatten()[:8].tolist()}")
    error = (got - wanted).abs().max().item() / max(wanted.abs().max().item(), 1.0) if got.numel() else 0.0
    require(error <= relative, part, f"{what} is off by {error:.2g}, more than the {relative:g} allowed")


def copied(value: Any) -> Any:
    """A copy of tensors, and of the tuples, lists, mappings and dataclasses that hold them."""
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, tuple | list):
        return type(value)(copied(item) for item in value)
    if isinstance(value, Mapping):
        return {name: copied(item) for name, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{field.name: copied(getattr(value, field.name)) for field in fields(value)})
    return value


def equal(a: Any, b: Any) -> bool:
    """Whether two such values are the same to the last bit; what is not a number is the same as another such."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.shape == b.shape and a.dtype == b.dtype and bool(((a == b) | (a != a) & (b != b)).all())
    if isinstance(a, tuple | list):
        return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, Mapping):
        return list(a) == list(b) and all(equal(a[name], b[name]) for name in a)
    if is_dataclass(a):
        return all(equal(getattr(a, field.name), getattr(b, field.name)) for field in fields(a))
    return bool(a == b)
