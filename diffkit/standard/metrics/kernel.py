"""Kernel distance."""

from jaxtyping import Float
from torch import Tensor

from diffkit.core.data import Data
from diffkit.core.features import Features
from diffkit.standard.features import Classifier
from diffkit.standard.metrics.compared import Compared
from diffkit.standard.metrics.mmd import mmd


class KernelDistance(Compared):
    r"""The kernel distance (KID) between samples and held-out rows: the squared maximum mean discrepancy, unbiased.

    $$ \frac{\sum_{i \ne j} k(x_i, x_j)}{n (n-1)} + \frac{\sum_{i \ne j} k(y_i, y_j)}{m (m-1)}
       - \frac{2}{n m} \sum_{i, j} k(x_i, y_j), \qquad k(x, y) = (x \cdot y / d + 1)^3 $$

    Its mean is 0 for rows of one distribution, drawn by themselves, whatever their number, so that it may be negative;
    and it is less for rows that were asked to be of the held-out rows' own classes. It is of all pairs, not of subsets.
    Raises `DiffkitError` for data that the `features` are not for.
    Reference: Binkowski et al., Demystifying MMD GANs, 2018.
    """

    higher_is_better = False

    def __init__(self, data: Data, features: Features = Classifier()) -> None:
        super().__init__(data, features)

    def compare(self, real: Float[Tensor, "n d"], drawn: Float[Tensor, "m d"]) -> Float[Tensor, ""]:
        """The squared distance, about 0 or more."""
        return mmd(drawn, real, cubic)


def cubic(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
    """The kernel."""
    return (a @ b.T / a.shape[1] + 1).pow(3)
