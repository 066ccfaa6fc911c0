"""The classifier two-sample test."""

import warnings
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core.data import Data
from diffkit.core.errors import DiffkitError
from diffkit.core.features import Features
from diffkit.core.noise import generator
from diffkit.core.types import Count
from diffkit.standard.features import Values
from diffkit.standard.metrics.compared import Compared

FOLDS = 5
PRODUCTS = 16
"""Up to so many values a row, the logistic regression is told their squares and products too."""


class TwoSample(Compared):
    r"""How often a classifier tells samples from held-out rows, as many of each: 0.5 is the best, and 1 the worst.

    $$ \max_{c} \frac{1}{2n} \sum_{i=1}^{2n} \left[ c_{-k(i)}(z_i) = l_i \right] $$

    over two classifiers c: a logistic regression (of values, and up to 16 values a row of their products too, so that
    it sees means and covariances) and the k nearest neighbours, k the root of the number of rows (which see the rest).
    Each row is judged by classifiers of the other four fifths of the rows. The choice of the better one, and few rows,
    make it a little more than 0.5 for rows of one distribution too: compare with real rows in the samples' place. At
    most `rows` of each are taken; no randomness is left in it. Raises `DiffkitError` for fewer than 5 rows.
    Reference: Lopez-Paz and Oquab, Revisiting classifier two-sample tests, 2017.
    """

    higher_is_better = False

    def __init__(self, data: Data, features: Features = Values(), rows: Count = 2000) -> None:
        super().__init__(data, features)
        self.rows = rows

    def compare(self, real: Float[Tensor, "n d"], drawn: Float[Tensor, "m d"]) -> Float[Tensor, ""]:
        """The better classifier's accuracy, from 0 to 1."""
        return two_sample(real, drawn, self.rows)


def two_sample(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"], rows: int) -> Float[Tensor, ""]:
    """The accuracy under cross-validation of the better classifier, on equal numbers of rows: at most `rows` each."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from threadpoolctl import threadpool_limits

    n = min(len(a), len(b), rows)
    if n < FOLDS:
        raise DiffkitError(f"two_sample needs {FOLDS} samples and held-out rows or more, and there are {n}: set n=...")
    x = torch.cat([_some(a, n, "a"), _some(b, n, "b")]).numpy()
    label = torch.arange(2).repeat_interleave(n).numpy()
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    # matrices this small gain nothing by threads, and a regression that is stopped early can tell too
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        right = [(cross_val_predict(c, x, label, cv=folds) == label).mean() for c in _classifiers(2 * n, x.shape[1])]
    return torch.tensor(max(right), dtype=torch.float64)


def _some(x: Float[Tensor, "n d"], count: int, name: str) -> Float[Tensor, "count d"]:
    """Rows drawn at random, whatever the order in which they come."""
    order = torch.arange(len(x))
    for column in x.T.flip(0):
        order = order[column[order].argsort(stable=True)]
    return x[order][torch.randperm(len(x), generator=generator("two_sample", name))[:count]]


def _classifiers(rows: int, values: int) -> list[Any]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures, StandardScaler

    products = [StandardScaler(), PolynomialFeatures(include_bias=False)] if values <= PRODUCTS else []
    linear = make_pipeline(*products, StandardScaler(), LogisticRegression(max_iter=300))
    return [linear, KNeighborsClassifier(round((rows * (FOLDS - 1) / FOLDS) ** 0.5))]
