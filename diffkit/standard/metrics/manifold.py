"""Fidelity and variety apart: rows are taken for balls that reach to their k-th nearest neighbour."""

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from diffkit.core.data import Data
from diffkit.core.errors import DiffkitError
from diffkit.core.features import Features
from diffkit.core.types import Count
from diffkit.standard.features import Classifier
from diffkit.standard.metrics.compared import Compared

CHUNK = 1024
"""Rows whose distances are in memory at a time."""


class Manifold(Compared):
    r"""Precision and recall, density and coverage: are samples like held-out rows, and is all drawn that there is?

    With balls $B(x_i)$ around n held-out rows and $B(y_j)$ around m samples, each of which reaches to the k-th nearest
    neighbour within its own set, k = `neighbours`:

    $$ \mathrm{precision} = \frac{1}{m} |\{ j : y_j \in \cup_i B(x_i) \}|, \qquad
       \mathrm{recall} = \frac{1}{n} |\{ i : x_i \in \cup_j B(y_j) \}| $$

    $$ \mathrm{density} = \frac{1}{k m} \sum_j |\{ i : y_j \in B(x_i) \}|, \qquad
       \mathrm{coverage} = \frac{1}{n} |\{ i : \exists j, \; y_j \in B(x_i) \}| $$

    All are 1 at the best and 0 at the worst, but for the density, which is about 1 for real rows and more where samples
    crowd among them. Samples far from each other have wide balls, so that noise may reach a high recall; coverage has
    the balls of real rows alone, and real ones in equal numbers reach about $1 - 2^{-k}$ of it. Raises `DiffkitError`
    for data that the `features` are not for, and for sets of no more than k rows.
    Kynkaanniemi et al. 2019, Improved precision and recall metric for assessing generative models (with k = 3);
    Naeem et al. 2020, Reliable fidelity and diversity metrics for generative models.
    """

    def __init__(self, data: Data, features: Features = Classifier(), neighbours: Count = 5) -> None:
        super().__init__(data, features)
        self.neighbours = neighbours

    def compare(self, real: Float[Tensor, "n d"], drawn: Float[Tensor, "m d"]) -> Mapping[str, Float[Tensor, ""]]:
        """The four figures."""
        in_real, in_drawn = inside(drawn, real, self.neighbours), inside(real, drawn, self.neighbours)
        return {
            "precision": in_real.any(1).double().mean(),
            "recall": in_drawn.any(1).double().mean(),
            "density": in_real.sum(1).double().mean() / self.neighbours,
            "coverage": in_real.any(0).double().mean(),
        }


def inside(points: Float[Tensor, "n d"], centres: Float[Tensor, "m d"], k: int) -> Bool[Tensor, "n m"]:
    """Which points lie in the ball of each centre that reaches to its k-th nearest neighbour among the centres.

    The rim is part of it. Raises `DiffkitError` for no more than k centres.
    """
    if len(centres) <= k:
        raise DiffkitError(f"neighbours={k} needs more than {k} rows, and there are {len(centres)}: take a smaller one")
    radii = torch.cat([_distances(rows, centres).kthvalue(k + 1).values for rows in torch.split(centres, CHUNK)])
    return torch.cat([_distances(rows, centres) <= radii for rows in torch.split(points, CHUNK)])


def _distances(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
    # not by way of a matrix product, so that a neighbour on the rim of a ball is in it
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
