"""Features that need nothing but the data."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from diffkit.core.data import Data
from diffkit.core.features import Features
from diffkit.standard.metrics.judge import hidden, level, need_labels


@dataclass(frozen=True)
class Classifier(Features):
    """The last hidden layer, 64 wide, of a small network that was trained to tell the classes of the training rows.

    It sees values as `values` gives them, and its seed is fixed. Raises `DiffkitError` for data without labels.
    """

    def check(self, data: Data) -> None:
        """See `Features`."""
        need_labels(data, "features=classifier", "choose others, such as metric.frechet.features=values")

    def __call__(self, data: Data, x: Float[Tensor, " n *d"]) -> Float[Tensor, "n features"]:
        """See `Features`."""
        return hidden(data)(level(data, x))


@dataclass(frozen=True)
class Values(Features):
    """The values themselves, from 0 to 1 where the data are bounded, else of unit variance."""

    def check(self, data: Data) -> None:
        """See `Features`."""

    def __call__(self, data: Data, x: Float[Tensor, " n *d"]) -> Float[Tensor, "n features"]:
        """See `Features`."""
        return level(data, x)
