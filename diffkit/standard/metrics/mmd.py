"""Maximum mean discrepancy."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core.data import Data
from diffkit.core.features import Features
from diffkit.core.types import Positive
from diffkit.standard.features import Values
from diffkit.standard.metrics.compared import Compared

Kernel = Callable[[Tensor, Tensor], Tensor]
"""From rows (n, d) and others (m, d) to how alike each pair is (n, m)."""
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
        return mmd(drawn, real, gaussians(torch.tensor(self.widths).to(real) * median_distance(real)))


def median_distance(x: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """The median distance of two rows, among some that are spread evenly over all."""
    return torch.pdist(x[:: -(-len(x) // MEDIAN_OF)]).median()


def gaussians(widths: Float[Tensor, " w"]) -> Kernel:
    """The mean of Gaussians of these widths, as a kernel."""

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        squared = torch.cdist(a, b).square()
        return sum(((squared * (-0.5 / w**2)).exp() for w in widths), torch.zeros_like(squared)) / len(widths)

    return kernel


def mmd(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"], kernel: Kernel) -> Float[Tensor, ""]:
    """The unbiased squared discrepancy of two sets of two or more rows, of any sizes."""
    return _within(a, kernel) + _within(b, kernel) - 2 * _sum(a, b, kernel) / (len(a) * len(b))


def _within(x: Float[Tensor, "n d"], kernel: Kernel) -> Float[Tensor, ""]:
    """The mean of the kernel over pairs of different rows."""
    n = len(x)
    return _sum(x, x, kernel, apart=True) / (n * (n - 1))


def _sum(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"], kernel: Kernel, apart: bool = False) -> Float[Tensor, ""]:
    """The sum of the kernel over all pairs; those of a row and the one in its place are left out where `apart`."""
    total = a.new_zeros(())
    for start in range(0, len(a), CHUNK):
        values = kernel(a[start : start + CHUNK], b)
        total += values.sum() - (values.diagonal(start).sum() if apart else 0)
    return total
