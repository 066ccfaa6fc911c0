"""Frechet distance."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics import Metric

from diffkit.core.data import Data
from diffkit.core.metric import SampleMetric
from diffkit.core.types import Batch
from diffkit.standard.metrics.judge import features, level, need_labels, reference


class Frechet(Metric, SampleMetric):
    r"""The Frechet distance between samples and held-out rows, each taken for a Gaussian.

    $$ |\mu_a - \mu_b|^2 + \mathrm{tr}\left(C_a + C_b - 2 (C_a C_b)^{1/2}\right) $$

    In the last hidden layer of a small classifier of the training rows, or in the values themselves. It falls with the
    number of samples: compare equal numbers only. Raises `DiffkitError` for `classifier` on data without labels.
    Reference: Heusel et al., GANs trained by a two time-scale update rule, 2017.
    """

    higher_is_better = False
    x: list[Tensor]

    def __init__(self, data: Data, features: Literal["classifier", "values"] = "classifier") -> None:
        super().__init__()
        if features == "classifier":
            need_labels(data, "frechet")
        self.data, self.features = data, features
        self.add_state("x", [], dist_reduce_fx="cat")

    def update(self, x: Float[Tensor, " b *d"], columns: Batch) -> None:
        """Take in samples."""
        self.x.append(level(self.data, x))

    def compute(self) -> Float[Tensor, ""]:
        """The squared distance, 0 or more (but for rounding)."""
        a, b = torch.cat(self.x), reference(self.data, "test")
        if self.features == "classifier":
            network = features(self.data)
            a, b = network(a), network(b)
        return frechet_distance(a, b)


def frechet_distance(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> Float[Tensor, ""]:
    """The squared Frechet distance between two sets of rows; both covariances get 1e-6 on the diagonal in the root."""
    d = a.shape[1]
    ca, cb = torch.cov(a.T).view(d, d), torch.cov(b.T).view(d, d)
    little = 1e-6 * torch.eye(d, dtype=ca.dtype)
    # tr (A B)^(1/2) is the sum of the singular values of A^(1/2) B^(1/2)
    root = torch.linalg.svdvals(_root(ca + little) @ _root(cb + little)).sum()
    distance: Tensor = (a.mean(0) - b.mean(0)).square().sum() + ca.trace() + cb.trace() - 2 * root
    return distance


def _root(a: Float[Tensor, "d d"]) -> Float[Tensor, "d d"]:
    values, vectors = torch.linalg.eigh(a)
    root: Tensor = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    return root
