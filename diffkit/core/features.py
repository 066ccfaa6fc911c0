"""Features: in what metrics compare samples with real rows."""

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor

from diffkit.core.data import Data


class Features(ABC):
    """A map from samples to the vectors in which a metric compares them.

    A frozen dataclass: networks that it needs are loaded, or trained on the data, when they are first asked, and kept
    for the process. A row's vector depends on that row alone.
    """

    @abstractmethod
    def check(self, data: Data) -> None:
        """Raise `DiffkitError` for data that it is not for; a metric asks before any samples are drawn."""

    @abstractmethod
    def __call__(self, data: Data, x: Float[Tensor, " n *d"]) -> Float[Tensor, "n features"]:
        """The vectors of samples of these data, in the data's own units."""
