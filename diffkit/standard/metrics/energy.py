"""Energy distance."""

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core.data import Data
from diffkit.core.features import Features
from diffkit.standard.features import Values
from diffkit.standard.metrics.compared import Compared

CHUNK = 1024
"""Rows whose distances are in memory at a time."""


class Energy(Compared):
    r"""The energy distance between samples and held-out rows, each row its own pair too.

    $$ \frac{2}{n m} \sum_{i, j} |x_i - y_j| - \frac{1}{n^2} \sum_{i, j} |x_i - x_j|
       - \frac{1}{m^2} \sum_{i, j} |y_i - y_j| $$

    0 for the same rows alone; of other rows of one distribution it is about $(1/n + 1/m)\, \mathrm{E}|x - x'|$, so that
    it falls with the number of samples: compare equal numbers only.
    Reference: Szekely and Rizzo, Energy statistics: a class of statistics based on distances, 2013.
    """

    higher_is_better = False

    def __init__(self, data: Data, features: Features = Values()) -> None:
        super().__init__(data, features)

    def compare(self, real: Float[Tensor, "n d"], drawn: Float[Tensor, "m d"]) -> Float[Tensor, ""]:
        """The distance, 0 or more (but for rounding)."""
        return energy_distance(drawn, real)


def energy_distance(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> Float[Tensor, ""]:
    """The energy distance of two sets of rows, of any sizes: that of order 1, not its root."""
    return 2 * _apart(a, b) - _apart(a, a) - _apart(b, b)


def _apart(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> Float[Tensor, ""]:
    """The mean distance over all pairs."""
    return torch.cat([torch.cdist(rows, b).mean(1) for rows in torch.split(a, CHUNK)]).mean()
