"""The error of correlations."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core.data import Data
from diffkit.core.errors import DiffkitError
from diffkit.standard.features import Values
from diffkit.standard.metrics.compared import Compared


class Correlation(Compared):
    r"""How far the correlations of the values of a row are from those of held-out rows: the mean square's root.

    $$ \left( \frac{1}{d (d - 1)} \sum_{i \ne j} (R_{ij} - \hat R_{ij})^2 \right)^{1/2} $$

    The mean is over all pairs of values: it is the Frobenius norm of the error by the root of their number. A value
    that is the same in all rows is correlated with nothing. Raises `DiffkitError` for data of one value a row.
    """

    higher_is_better = False

    def __init__(self, data: Data) -> None:
        super().__init__(data, Values())
        if math.prod(data.spec.shape) < 2:
            raise DiffkitError("correlation needs two values a row or more: leave it out of metric=[...]")

    def compare(self, real: Float[Tensor, "n d"], drawn: Float[Tensor, "m d"]) -> Float[Tensor, ""]:
        """The error, from 0 to 2."""
        return correlation_error(drawn, real)


def correlation_error(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> Float[Tensor, ""]:
    """The root of the mean square of the differences of correlations, over pairs of different columns."""
    d = a.shape[1]
    return (_correlations(a) - _correlations(b)).square().sum().div(d * (d - 1)).sqrt()


def _correlations(x: Float[Tensor, "n d"]) -> Float[Tensor, "d d"]:
    """The matrix, with 0 on the diagonal and for columns that do not vary."""
    centred = x - x.mean(0)
    spread = centred.norm(dim=0)
    unit = torch.where(spread > 1e-9 * len(x) ** 0.5, centred / spread, 0.0)
    return (unit.T @ unit).fill_diagonal_(0)
