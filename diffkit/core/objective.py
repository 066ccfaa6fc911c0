"""Objectives: where training puts its times, and how it weighs them."""

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor

from diffkit.core.schedule import Schedule


class TimeDensity(ABC):
    """A distribution of training times, given by the map of uniform numbers to it. A frozen dataclass."""

    @abstractmethod
    def __call__(self, schedule: Schedule, u: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
        """Times in [0, 1] for numbers `u`, uniform in [0, 1); both float64."""


class Weighting(ABC):
    r"""A factor on the squared error of the network's output F. A frozen dataclass.

    Since $x_0 - \hat x_0 = c_\mathrm{out} (F - \hat F)$, a weight $w$ on the error of x_0 is the factor
    $w\, c_\mathrm{out}^2$ here: that is why `c_out` is given.
    """

    @abstractmethod
    def __call__(self, logsnr: Float[Tensor, " b"], c_out: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
        """The factor for each row, not negative."""
