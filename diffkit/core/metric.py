"""Metrics: what samples are worth, beside real rows in their place; and what a model itself says of real rows."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

from jaxtyping import Float
from torch import Tensor

from diffkit.core.data import DataSpec
from diffkit.core.model import DiffusionModel
from diffkit.core.types import Batch


class AnyMetric:
    """What the kind `metric` takes: a `SampleMetric` or a `ModelMetric`."""


class SampleMetric(AnyMetric, ABC):
    """Figures of a set of samples: a part of this kind is a torchmetrics `Metric` that implements this too.

    Its constructor may ask for `data`, which the build supplies, and compares with that part's held-out rows.
    """

    real: ClassVar[Literal["train", "test"]] = "train"
    """The real rows that take the samples' place in the value to compare with: as good as a generator can be."""
    conditional: ClassVar[bool] = False
    """Whether it judges if samples are what was asked for, so that it needs a conditional model."""

    @abstractmethod
    def update(self, x: Float[Tensor, " b *d"], columns: Batch) -> None:
        """Take in samples, in the data's own units, and the conditions that they were drawn under.

        A value that is not there is NaN.
        """

    @abstractmethod
    def compute(self) -> Float[Tensor, ""] | Mapping[str, Float[Tensor, ""]]:
        """The figure for all samples so far, or several by name, such as one for each column."""


def figures(metric: str, found: Float[Tensor, ""] | Mapping[str, Float[Tensor, ""]]) -> dict[str, float]:
    """What a `SampleMetric` found as numbers, by the names that tables give them: `metric`, or `metric/name`."""
    if isinstance(found, Mapping):
        return {f"{metric}/{name}": float(value) for name, value in found.items()}
    return {metric: float(found)}


class Figure(NamedTuple):
    """One figure for a model and a set of rows."""

    value: float
    error: float
    """Its standard error, for the distribution that the rows are from; not a number where it is not known."""


class Measured(NamedTuple):
    """What a model metric found."""

    figures: Mapping[str, Figure]
    detail: Mapping[str, Any]
    """What is to be known beside, as plain JSON values: how it was computed, terms, network calls."""


class ModelMetric(AnyMetric, ABC):
    """Figures of a model on real rows, without samples: a torchmetrics `Metric` that implements this too.

    The model is the bare one, without guidance. Rows come in batches of any size, and the figures do not depend on it.
    """

    @abstractmethod
    def update(self, model: DiffusionModel, spec: DataSpec, rows: Batch, ids: Sequence[int], seed: int) -> None:
        """Take in rows: `"x"` in the data's own units, in float64, and the conditions that go with each.

        Everything random is a function of (seed, id) for each row. The model is in evaluation mode. Raises
        `DiffkitError` for a model or data that it has no figures for.
        """

    @abstractmethod
    def compute(self) -> Measured:
        """The figures for all rows so far."""
