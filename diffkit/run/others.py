"""Data that a run was not trained on: refused where they are of another kind, standardised as its model wants them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from jaxtyping import Float
from torch import Tensor

from diffkit.core.data import KNOWN, Captioned, Data, DataSpec, texts
from diffkit.core.errors import DiffkitError
from diffkit.core.types import Batch

if TYPE_CHECKING:
    from PIL.Image import Image

_FREE = ("mean", "scale", "licence")
"""What may be another: rows in the data's own units mean the same."""


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What is another in `now` than it was, in words."""
    return [f"{key} was {before[key]} and is {value}" for key, value in now.items() if before[key] != value]


def matched(data: Data, spec: DataSpec, run: str) -> Data:
    """The data, standardised as a model for data of `spec` wants them.

    Raises `DiffkitError` if shape, units, names, classes or bounds are others than the spec tells; what it leaves out,
    as those of older versions do, may be anything.
    """
    told, untold = spec.to_dict(), DataSpec(()).to_dict()
    said = {key: value for key, value in told.items() if key not in _FREE and value != untold[key]}
    now = {key: value for key, value in data.spec.to_dict().items() if key in said}
    if "conditions" in said:
        now["conditions"] = {key: value for key, value in now["conditions"].items() if key in said["conditions"]}
    others = differences(said, now)
    if others:
        raise DiffkitError(f"the data are not what {run} was trained on: {'; '.join(others)}")
    kept = replace(data.spec, mean=spec.mean, scale=spec.scale)
    return data if kept == data.spec else _Matched(data, kept)


@dataclass(frozen=True)
class _Matched(Data, Captioned):
    """Data with another mean and scale."""

    data: Data
    spec: DataSpec

    def reference(self, split: Literal["train", "test"]) -> Batch:
        rows = self.data.reference(split)
        x = self.spec.standardise(self.data.spec.restore(rows["x"]))
        return {**rows, "x": x.where(rows[KNOWN], 0.0) if KNOWN in rows else x}

    def captions(self, column: str) -> Iterator[str]:
        yield from texts(self.data, column)

    def draw(self, x: Float[Tensor, "rows columns *d"], titles: Sequence[str] = ()) -> "Image":
        return self.data.draw(x, titles)
