"""Are samples copies of the training rows?"""

from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics import Metric

from diffkit.core.data import Data
from diffkit.core.metric import SampleMetric
from diffkit.core.types import Batch
from diffkit.standard.metrics.judge import complete, level, reference


class Nearest(Metric, SampleMetric):
    """The mean distance of samples to their nearest training rows, over that of held-out rows to theirs.

    1 is the best; far below 1 the samples repeat the training rows, far above they are unlike any. Euclidean.
    """

    real: ClassVar[Literal["train", "test"]] = "test"
    x: list[Tensor]

    def __init__(self, data: Data) -> None:
        super().__init__()
        self.data = data
        self.add_state("x", [], dist_reduce_fx="cat")

    def update(self, x: Float[Tensor, " b *d"], columns: Batch) -> None:
        """Take in samples."""
        self.x.append(level(self.data, x))

    def compute(self) -> Float[Tensor, ""]:
        """The ratio, 0 or more."""
        train, test = reference(self.data, "train"), reference(self.data, "test")
        return distance_to_nearest(complete(torch.cat(self.x)), train) / distance_to_nearest(test, train)


def distance_to_nearest(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> Float[Tensor, ""]:
    """The mean over rows of `a` of the distance to the nearest row of `b`."""
    return torch.cat([_nearest(rows, b) for rows in torch.split(a, 1024)]).mean()


def _nearest(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> Float[Tensor, " n"]:
    # not by way of a matrix product, so that the distance to a copy is exactly 0
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist").min(1).values
