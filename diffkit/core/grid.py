"""Grids: the times at which a sampler stops on its way."""

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor

from diffkit.core.schedule import Schedule


class Grid(ABC):
    """A choice of times for a number of steps. A frozen dataclass with a field `steps`."""

    steps: int

    @abstractmethod
    def __call__(self, schedule: Schedule) -> Float[Tensor, " n"]:
        """`steps + 1` falling times in float64.

        The first has a log-SNR of at least -20 (so that alpha is not 0); the last is exactly 0.
        """
