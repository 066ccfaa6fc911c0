"""Predictions: what the network's output means."""

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor


class Prediction(ABC):
    r"""How the data are read from a network's output F.

    $$ x_0 = c_\mathrm{skip} x_t + c_\mathrm{out} F $$

    It must be homogeneous: scaling (alpha, sigma) by k scales `c_skip` by 1/k and leaves `c_out` alone, so that
    `c_out` depends on the log-SNR only. A prediction is a frozen dataclass.
    """

    @abstractmethod
    def __call__(
        self, alpha: Float[Tensor, "*b"], sigma: Float[Tensor, "*b"]
    ) -> tuple[Float[Tensor, "*b"], Float[Tensor, "*b"]]:
        """`(c_skip, c_out)` for the given `alpha` and `sigma` (float64, both above 0)."""

    def target(
        self, alpha: Float[Tensor, "*b"], sigma: Float[Tensor, "*b"]
    ) -> tuple[Float[Tensor, "*b"], Float[Tensor, "*b"]]:
        r"""`(a, b)` with which the network's exact output is `a * x_0 + b * eps`.

        From $F = (x_0 - c_\mathrm{skip} x_t) / c_\mathrm{out}$, written so that nothing cancels in the dtype of x.
        """
        c_skip, c_out = self(alpha, sigma)
        return (1 - c_skip * alpha) / c_out, -c_skip * sigma / c_out
