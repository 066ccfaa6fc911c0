"""Predictions: what the network's output means."""

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor

from diffkit.core.types import expand


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


def convert(
    output: Float[Tensor, " b *d"],
    x_t: Float[Tensor, " b *d"],
    alpha: Float[Tensor, "*a"],
    sigma: Float[Tensor, "*a"],
    source: Prediction,
    target: Prediction,
) -> Float[Tensor, " b *d"]:
    r"""The output F of a network for `target` that says the same as `output` does for `source`.

    $$ F' = \frac{c_\mathrm{skip} - c_\mathrm{skip}'}{c_\mathrm{out}'} x_t
           + \frac{c_\mathrm{out}}{c_\mathrm{out}'} F $$

    `alpha` and `sigma` (float64, above 0) are of one level, shape (), or of one for each row, shape (b,). Both
    coefficients are made in float64 and cast once. What is lost is what the conditioning takes: from eps to x_0 an
    error grows by sigma / alpha, and back by alpha / sigma.
    """
    (skip, out), (skip_too, out_too) = source(alpha, sigma), target(alpha, sigma)
    return expand((skip - skip_too) / out_too, x_t) * x_t + expand(out / out_too, output) * output
