"""The two ways in which a contract is found broken."""

from typing import Any

import torch
from torch import Tensor


def require(kept: bool, part: Any, message: str) -> None:
    """Raise `AssertionError` with the part and the message unless `kept`."""
    if not kept:
        raise AssertionError(f"{part}: {message}")


def require_close(part: Any, what: str, got: Tensor, wanted: Tensor, relative: float) -> None:
    """Require that `got` is `wanted` to `relative` of the largest of `wanted` (or of 1, if that is less)."""
    require(bool(torch.isfinite(got).all()), part, f"{what} is not finite: {got.flatten()[:8].tolist()}")
    error = (got - wanted).abs().max().item() / max(wanted.abs().max().item(), 1.0)
    require(error <= relative, part, f"{what} is off by {error:.2g}, more than the {relative:g} allowed")
