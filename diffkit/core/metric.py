"""Metrics: what samples are worth, beside real rows in their place."""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

from jaxtyping import Float
from torch import Tensor

from diffkit.core.types import Batch


class SampleMetric(ABC):
    """One figure for a set of samples: a part of this kind is a torchmetrics `Metric` that implements this too.

    Its constructor may ask for `data`, which the build supplies, and compares with that part's held-out rows.
    """

    real: ClassVar[Literal["train", "test"]] = "train"
    """The real rows that take the samples' place in the value to compare with: as good as a generator can be."""
    conditional: ClassVar[bool] = False
    """Whether it judges if samples are what was asked for, so that it needs a conditional model."""

    @abstractmethod
    def update(self, x: Float[Tensor, " b *d"], columns: Batch) -> None:
        """Take in samples, in the data's own units, and the conditions that they were drawn under."""

    @abstractmethod
    def compute(self) -> Float[Tensor, ""]:
        """The figure for all samples so far."""
