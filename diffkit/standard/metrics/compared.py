"""What metrics share that compare samples with held-out rows by their features."""

from abc import abstractmethod
from collections.abc import Mapping
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics import Metric

from diffkit.core.data import Data
from diffkit.core.features import Features
from diffkit.core.metric import SampleMetric
from diffkit.core.types import Batch
from diffkit.standard.metrics.judge import complete

_held_out: WeakKeyDictionary[Data, dict[Features, Tensor]] = WeakKeyDictionary()


class Compared(Metric, SampleMetric):
    """A metric of the features of samples and of those of held-out rows; raises what `Features.check` does."""

    x: list[Tensor]

    def __init__(self, data: Data, features: Features) -> None:
        super().__init__()
        features.check(data)
        self.data, self.features = data, features
        self.add_state("x", [], dist_reduce_fx="cat")

    @abstractmethod
    def compare(
        self, real: Float[Tensor, "n d"], drawn: Float[Tensor, "m d"]
    ) -> Float[Tensor, ""] | Mapping[str, Float[Tensor, ""]]:
        """What `compute` gives, from the features of held-out rows and of samples, both float64."""

    def update(self, x: Float[Tensor, " b *d"], columns: Batch) -> None:
        """Take in samples."""
        self.x.append(x)

    def compute(self) -> Float[Tensor, ""] | Mapping[str, Float[Tensor, ""]]:
        """The figure for all samples so far, or several by name."""
        return self.compare(held_out(self.data, self.features), vectors(self.data, self.features, torch.cat(self.x)))


def held_out(data: Data, features: Features) -> Float[Tensor, "n d"]:
    """The features of the held-out rows; found once for each data part."""
    known = _held_out.setdefault(data, {})
    if features not in known:
        known[features] = vectors(data, features, data.spec.own(data.reference("test"))["x"])
    return known[features]


def vectors(data: Data, features: Features, x: Float[Tensor, " n *d"]) -> Float[Tensor, "some features"]:
    """The features of the samples that have all their values, in float64 on the CPU; raises `DiffkitError` for none."""
    whole = complete(x.flatten(1)).reshape(-1, *x.shape[1:])
    return features(data, whole).cpu().double()
