"""Are samples what was asked for?"""

from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics import Metric

from diffkit.core.data import Data
from diffkit.core.metric import SampleMetric
from diffkit.core.types import Batch
from diffkit.standard.metrics.judge import classifier, level, need_labels


class Agreement(Metric, SampleMetric):
    """The share of samples that a classifier of the training rows puts in the class that was asked for.

    1 is the best; held-out rows in the samples' place give the classifier's own accuracy. Samples that were asked for
    no class (label -1) do not count, nor rows with missing values; if none is left, it is NaN. Raises `DiffkitError`
    for data without labels.
    """

    real: ClassVar[Literal["train", "test"]] = "test"
    conditional: ClassVar[bool] = True
    higher_is_better = True
    right: Tensor
    total: Tensor

    def __init__(self, data: Data) -> None:
        super().__init__()
        need_labels(data, "agreement")
        self.data = data
        self.add_state("right", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("total", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, x: Float[Tensor, " b *d"], columns: Batch) -> None:
        """Take in samples and the labels that were asked for."""
        label, values = columns["label"].cpu(), level(self.data, x)
        asked = (label >= 0) & values.isfinite().all(1)
        if asked.any():
            self.right += (classifier(self.data)(values[asked]) == label[asked]).sum().to(self.right)
        self.total += asked.sum().to(self.total)

    def compute(self) -> Float[Tensor, ""]:
        """The share of right ones, from 0 to 1."""
        return self.right / self.total
