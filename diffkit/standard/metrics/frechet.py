"""Frechet distance."""

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core.data import Data
from diffkit.core.features import Features
from diffkit.standard.features import Classifier
from diffkit.standard.metrics.compared import Compared


class Frechet(Compared):
    r"""The Frechet distance between samples and held-out rows, each taken for a Gaussian.

    $$ |\mu_a - \mu_b|^2 + \mathrm{tr}\left(C_a + C_b - 2 (C_a C_b)^{1/2}\right) $$

    It falls with the number of samples: compare equal numbers only. Raises `DiffkitError` for data that the `features`
    are not for.
    Reference: Heusel et al., GANs trained by a two time-scale update rule, 2017.
    """

    higher_is_better = False

    def __init__(self, data: Data, features: Features = Classifier()) -> None:
        super().__init__(data, features)

    def compare(self, real: Float[Tensor, "n d"], drawn: Float[Tensor, "m d"]) -> Float[Tensor, ""]:
        """The squared distance, 0 or more (but for rounding)."""
        return frechet_distance(drawn, real)


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
