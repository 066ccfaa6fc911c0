"""A prediction whose place of change can be chosen."""

from dataclasses import dataclass
from math import exp

from jaxtyping import Float
from torch import Tensor

from diffkit.core import Prediction


@dataclass(frozen=True)
class MyPrediction(Prediction):
    r"""The noise where there is little of it, the data where there is much; they change over at a log-SNR of `pivot`.

    $$ c_\mathrm{skip} = \frac{\alpha}{\alpha^2 + k \sigma^2}, \qquad
       c_\mathrm{out} = \sigma \frac{\sqrt{\alpha^2 + k^2 \sigma^2}}{\alpha^2 + k \sigma^2}, \qquad
       k = e^\mathrm{pivot} $$

    So the network's output has unit variance for data of unit variance. With a pivot of 0 it is -v.
    """

    pivot: float = 0.0

    def __call__(
        self, alpha: Float[Tensor, "*b"], sigma: Float[Tensor, "*b"]
    ) -> tuple[Float[Tensor, "*b"], Float[Tensor, "*b"]]:
        """See `Prediction`."""
        k = exp(self.pivot)
        both = alpha.square() + k * sigma.square()
        return alpha / both, sigma * (alpha.square() + k**2 * sigma.square()).sqrt() / both
