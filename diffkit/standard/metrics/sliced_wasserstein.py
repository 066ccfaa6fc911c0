"""Sliced Wasserstein distance."""

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics import Metric

from diffkit.core.data import Data
from diffkit.core.metric import SampleMetric
from diffkit.core.noise import generator
from diffkit.core.types import Batch, Count
from diffkit.standard.metrics.judge import complete, level, reference


class SlicedWasserstein(Metric, SampleMetric):
    r"""The sliced Wasserstein distance of order 2 between samples and held-out rows.

    $$ \left( \mathrm{mean}_\theta \int_0^1 (F_\theta^{-1}(p) - G_\theta^{-1}(p))^2 \, dp \right)^{1/2} $$

    over random directions, the same in every process; values run from 0 to 1 where the data are bounded, else they
    have unit variance. Reference: Rabin et al., Wasserstein barycenter and its application to texture mixing, 2011.
    """

    higher_is_better = False
    x: list[Tensor]

    def __init__(self, data: Data, directions: Count = 512) -> None:
        super().__init__()
        self.data, self.directions = data, directions
        self.add_state("x", [], dist_reduce_fx="cat")

    def update(self, x: Float[Tensor, " b *d"], columns: Batch) -> None:
        """Take in samples."""
        self.x.append(level(self.data, x))

    def compute(self) -> Float[Tensor, ""]:
        """The distance, 0 or more."""
        return sliced_wasserstein(complete(torch.cat(self.x)), reference(self.data, "test"), self.directions)


def sliced_wasserstein(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"], directions: int) -> Float[Tensor, ""]:
    """The exact distance of two sets of rows, of any sizes, along each of the directions; then their quadratic mean."""
    n, m, d = len(a), len(b), a.shape[1]
    theta = torch.randn(directions, d, dtype=a.dtype, generator=generator("directions", d))
    theta = theta / theta.norm(dim=1, keepdim=True)
    a, b = (theta @ a.T).sort(1).values, (theta @ b.T).sort(1).values
    # both quantile functions are constant between neighbouring multiples of 1/n and 1/m
    edges = torch.unique(torch.cat([torch.arange(1, n + 1) * m, torch.arange(1, m + 1) * n]))
    low = torch.cat([torch.zeros(1, dtype=edges.dtype), edges[:-1]])
    width = (edges - low).to(a) / (n * m)
    squared: Tensor = (a[:, low // m] - b[:, low // n]).square() @ width
    return squared.mean().sqrt()
