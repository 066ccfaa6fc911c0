"""Maximum mean discrepancy."""

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core.data import Data
from diffkit.core.features import Features
from diffkit.core.types import Positive
from diffkit.standard.features import Values
from diffkit.standard.metrics.compared import Compared

CHUNK = 1024
"""Rows whose kernel is in memory at a time."""
MEDIAN_OF = 1000
"""Rows that the median distance is found among."""


class Mmd(Compared):
    r"""The squared maximum mean discrepancy between samples and held-out rows, unbiased, by Gaussian kernels.

    $$ \frac{\sum_{i \ne j} k(x_i, x_j)}{n (n-1)} + \frac{\sum_{i \ne j} k(y_i, y_j)}{m (m-1)}
       - \frac{2}{n m} \sum_{i, j} k(x_i, y_j),
       \qquad k(x, y) = \mathrm{mean}_w \exp \left( -\frac{|x - y|^2}{2 (w h)^2} \right) $$

    h is the median distance of held-out rows, and w goes through `widths`: narrow kernels see fine structure, wide ones
    where the rows lie. Its mean is 0 for rows of one distribution, whatever their number, so that it may be negative.
    Reference: Gretton et al., A kernel two-sample test, 2012.
    """

    higher_is_better = False

    def __init__(
        self,
        data: Data,
        features: Features = Values(),
        widths: tuple[Positive, ...] = (0.125, 0.25, 0.5, 1.0, 2.0),
    ) -> None:
        super().__init__(data, features)
        self.widths = widths

    def compare(self, real: Float[Tensor, "n d"], drawn: Float[Tensor, "m d"]) -> Float[Tensor, ""]:
        """The squared discrepancy, about 0 or more."""
        return mmd(drawn, real, torch.tensor(self.widths).to(real) * median_distance(real))


def median_distance(x: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """The median distance of two rows, among some that are spread evenly over all."""
    return torch.pdist(x[:: -(-len(x) // MEDIAN_OF)]).median()


def mmd(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"], widths: Float[Tensor, " w"]) -> Float[Tensor, ""]:
    """The unbiased squared discrepancy of two sets of two or more rows, of any sizes, by Gaussians of these widths."""
    return _within(a, widths) + _within(b, widths) - 2 * _sum(a, b, widths) / (len(a) * len(b))


def _within(x: Float[Tensor, "n d"], widths: Float[Tensor, " w"]) -> Float[Tensor, ""]:
    """The mean of the kernel over pairs of different rows; it is 1 for a row with itself."""
    n = len(x)
    return (_sum(x, x, widths) - n) / (n * (n - 1))


def _sum(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"], widths: Float[Tensor, " w"]) -> Float[Tensor, ""]:
    """The sum of the kernel over all pairs."""
    total = a.new_zeros(())
    for rows in torch.split(a, CHUNK):
        squared = torch.cdist(rows, b).square()
        total += torch.stack([(squared * (-0.5 / w**2)).exp().sum() for w in widths]).mean()
    return total
