"""Means and deviations of columns that are seen piece by piece."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Moments:
    r"""Counts, means and sums of squared deviations of columns, in float64; NaN does not count.

    $$ M = M_a + M_b + (\mu_a - \mu_b)^2 \frac{n_a n_b}{n_a + n_b} $$

    Chan, Golub and LeVeque 1983, Algorithms for Computing the Sample Variance.
    """

    n: NDArray[np.float64]
    mean: NDArray[np.float64]
    m2: NDArray[np.float64]

    @classmethod
    def of(cls, rows: NDArray[np.float64]) -> "Moments":
        """Those of rows (n, columns)."""
        n = (~np.isnan(rows)).sum(0).astype(np.float64)
        mean = np.nansum(rows, 0) / np.maximum(n, 1)
        return cls(n, mean, np.nansum((rows - mean) ** 2, 0))

    def __add__(self, other: "Moments") -> "Moments":
        """Those of the rows of both."""
        n = self.n + other.n
        whole, apart = np.maximum(n, 1), other.mean - self.mean
        m2 = self.m2 + other.m2 + apart**2 * self.n * other.n / whole
        return Moments(n, self.mean + apart * other.n / whole, m2)

    @property
    def deviation(self) -> NDArray[np.float64]:
        """The root of the mean squared deviation."""
        return np.sqrt(self.m2 / np.maximum(self.n, 1))
