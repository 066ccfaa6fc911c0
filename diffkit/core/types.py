"""Names shared by the interfaces: numbers with a range, a batch, and the one helper that aligns shapes."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from torch import Tensor

Shape = tuple[int, ...]
"""The shape of one sample, without the batch: `(c, h, w)` for a picture, `(d,)` for a table's row."""

Batch = Mapping[str, Any]
"""Columns by name, all of length b: `"x"` (b, *shape), and one column for each condition offered."""


@dataclass(frozen=True)
class Range:
    """The values a hyperparameter may take: `low <= value <= high`, or `low < value` where `open`."""

    low: float = -math.inf
    high: float = math.inf
    open: bool = False

    def __contains__(self, value: float) -> bool:
        return math.isfinite(value) and (self.low < value if self.open else self.low <= value) and value <= self.high

    def __str__(self) -> str:
        low = "" if self.low == -math.inf else f"{'above' if self.open else 'at least'} {self.low:g}"
        high = "" if self.high == math.inf else f"at most {self.high:g}"
        return " and ".join(filter(None, (low, high))) or "a finite number"


Count = Annotated[int, Range(1)]
"""1, 2, 3, ..."""
Natural = Annotated[int, Range(0)]
"""0, 1, 2, ..."""
Positive = Annotated[float, Range(0, open=True)]
"""A finite number above 0."""
NonNegative = Annotated[float, Range(0)]
"""A finite number, 0 or more."""
Fraction = Annotated[float, Range(0, 1)]
"""A number from 0 to 1."""
Length = Annotated[float, Range(0, 12**-0.5, open=True)]
"""The length of an average of the weights, as a share of the training: its greatest is that of the plain mean."""


def expand(a: Tensor, x: Tensor) -> Tensor:
    """Give `a`, of shape () or (b,), the trailing dimensions it needs to multiply `x` (b, *shape), and its dtype."""
    return a.to(device=x.device, dtype=x.dtype).reshape(a.shape + (1,) * (x.ndim - a.ndim)) if a.ndim else a
