"""Grids: the times at which a sampler stops on its way."""

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor

from diffkit.core.sampler import Denoiser, Sampler
from diffkit.core.schedule import Schedule


class Grid(ABC):
    """A choice of times for a number of steps. A frozen dataclass with a field `steps`."""

    steps: int

    @abstractmethod
    def __call__(self, schedule: Schedule) -> Float[Tensor, " n"]:
        """`steps + 1` falling times in float64.

        The first has a log-SNR of at least -20 (so that alpha is not 0); the last is exactly 0.
        """


class FittedGrid(Grid):
    """A grid whose times are found for the model at hand. Called as it is, it gives the times that it starts from."""

    rows: int

    @abstractmethod
    def fit(
        self,
        denoise: Denoiser,
        schedule: Schedule,
        sampler: Sampler,
        x: Float[Tensor, " b *d"],
    ) -> Grid:
        """The grid that suits `denoise` and a `sampler` without noise, found on the way of `x`.

        `x` has `rows` rows, at the time from which the grid starts.
        """
