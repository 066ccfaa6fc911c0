"""Data whose denoiser is known exactly, to hold samplers and models against. All in float64."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from math import atan2, hypot
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy.integrate import solve_ivp
from torch import Tensor

from diffkit.core.schedule import Schedule


class Oracle(ABC):
    """A distribution of data (b, d) with an exact denoiser."""

    @abstractmethod
    def x_0(self, x_t: Float[Tensor, "b d"], alpha: float, sigma: float) -> Float[Tensor, "b d"]:
        """The mean of the data given `x_t`."""


def denoiser(oracle: Oracle, schedule: Schedule) -> Callable[[Tensor, Tensor], Tensor]:
    """The oracle's `denoise(x_t, t)` on a schedule, as a sampler asks for it."""

    def denoise(x_t: Tensor, t: Tensor) -> Tensor:
        alpha, sigma = schedule(t)
        return oracle.x_0(x_t, alpha.item(), sigma.item())

    return denoise


@dataclass(frozen=True, eq=False)
class Gaussian(Oracle):
    r"""Normal data with a full covariance, given by its eigenvectors and eigenvalues.

    $$ x_0 \sim \mathcal N(\mu, C), \qquad C = Q \Lambda Q^\top,
       \qquad x_t \sim \mathcal N(\alpha_t \mu, \alpha_t^2 C + \sigma_t^2 1) $$
    """

    mean: Float[Tensor, " d"]
    basis: Float[Tensor, "d d"]
    """The eigenvectors, one a column."""
    variances: Float[Tensor, " d"]

    @classmethod
    def random(cls, d: int, seed: int = 0) -> "Gaussian":
        """One of dimension `d` in a random basis, with standard deviations that fall from 2 as k^-3/4."""
        g = torch.Generator().manual_seed(seed)
        basis = torch.linalg.qr(torch.randn(d, d, generator=g, dtype=torch.float64))[0]
        variances = 4 * torch.arange(1, d + 1, dtype=torch.float64) ** -1.5
        return cls(0.5 * torch.randn(d, generator=g, dtype=torch.float64), basis, variances)

    @property
    def covariance(self) -> Float[Tensor, "d d"]:
        """C."""
        return self.basis * self.variances @ self.basis.T

    @property
    def spread(self) -> float:
        """The root of the mean variance of an entry of the data."""
        return self.variances.mean().sqrt().item()

    def sample(self, n: int, generator: torch.Generator) -> Float[Tensor, "n d"]:
        """`n` samples."""
        z = torch.randn(n, len(self.mean), generator=generator, dtype=torch.float64)
        return self.mean + z * self.variances.sqrt() @ self.basis.T

    def _of(self, alpha: float, sigma: float) -> Float[Tensor, " d"]:
        return alpha**2 * self.variances + sigma**2

    def _scaled(self, x: Tensor, alpha: float, by: Tensor) -> Tensor:
        """The distance from the mean, each of the eigenvectors' parts multiplied by `by`."""
        return ((x.double() - alpha * self.mean) @ self.basis * by) @ self.basis.T

    def x_0(self, x_t: Float[Tensor, "b d"], alpha: float, sigma: float) -> Float[Tensor, "b d"]:
        r"""$\mu + \alpha C (\alpha^2 C + \sigma^2 1)^{-1} (x_t - \alpha \mu)$."""
        return (self.mean + self._scaled(x_t, alpha, alpha * self.variances / self._of(alpha, sigma))).to(x_t.dtype)

    def log_density(self, x_t: Float[Tensor, "b d"], alpha: float, sigma: float) -> Float[Tensor, " b"]:
        """The logarithm of the density of x_t."""
        variances = self._of(alpha, sigma)
        z = (x_t - alpha * self.mean) @ self.basis
        return -0.5 * (z.square() / variances + (2 * torch.pi * variances).log()).sum(1)

    def flow(
        self, x_t: Float[Tensor, "b d"], start: tuple[float, float], end: tuple[float, float]
    ) -> Float[Tensor, "b d"]:
        r"""The exact solution of the probability-flow ODE from `(alpha_t, sigma_t)` to `(alpha_s, sigma_s)`.

        $$ x_s = \alpha_s \mu + (\alpha_s^2 C + \sigma_s^2 1)^{1/2} (\alpha_t^2 C + \sigma_t^2 1)^{-1/2}
                 (x_t - \alpha_t \mu) $$
        """
        growth = (self._of(*end) / self._of(*start)).sqrt()
        return (end[0] * self.mean + self._scaled(x_t, start[0], growth)).to(x_t.dtype)


@dataclass(frozen=True, eq=False)
class Mixture(Oracle):
    r"""Equal Gaussians around `means`: $x_0 \sim \frac1k \sum_i \mathcal N(\mu_i, \mathrm{variance}\, 1)$.

    With a variance of 0 it is a finite data set: then the exact denoiser remembers its rows.
    """

    means: Float[Tensor, "k d"]
    variance: float = 0.0

    @classmethod
    def circle(cls, modes: int = 8, radius: float = 1.4, std: float = 0.2) -> "Mixture":
        """Modes on a circle in the plane, of about unit variance."""
        angle = torch.arange(modes, dtype=torch.float64) * (2 * torch.pi / modes)
        return cls(radius * torch.stack([angle.cos(), angle.sin()], 1), std**2)

    @property
    def spread(self) -> float:
        """The root of the mean variance of an entry of the data."""
        return (self.means.var(0, correction=0).mean() + self.variance).sqrt().item()

    def sample(self, n: int, generator: torch.Generator) -> Float[Tensor, "n d"]:
        """`n` samples."""
        rows = self.means[torch.randint(len(self.means), (n,), generator=generator)]
        noise = torch.randn(rows.shape, generator=generator, dtype=torch.float64)
        return rows + noise * float(self.variance**0.5)

    def x_0(self, x_t: Float[Tensor, "b d"], alpha: float, sigma: float) -> Float[Tensor, "b d"]:
        """The mean of the data given `x_t`: the components' own answers, weighed by how likely each is."""
        x, spread = x_t.double(), alpha**2 * self.variance + sigma**2
        # the part of the squared distance that all components share is left out: it would cost digits
        likely = torch.softmax(alpha * (x @ self.means.T - alpha / 2 * self.means.square().sum(1)) / spread, 1)
        mean = likely @ self.means
        return (mean + alpha * self.variance / spread * (x - alpha * mean)).to(x_t.dtype)

    def flow(
        self, x_t: Float[Tensor, "b d"], start: tuple[float, float], end: tuple[float, float], rtol: float = 1e-13
    ) -> Float[Tensor, "b d"]:
        r"""The solution of the probability-flow ODE from `(alpha_t, sigma_t)` to `(alpha_s, sigma_s)`, to 1e-10.

        In the angle of the variance-preserving path of the same log-SNR, where nothing is singular at either end:

        $$ \frac{dy}{d\theta} = \sin\theta\, \frac{\cos\theta\,(1 - \mathrm{variance})\, y - \bar\mu(y, \theta)}
           {\cos^2\theta\, \mathrm{variance} + \sin^2\theta}, \qquad
           y = \frac{x}{\sqrt{\alpha^2 + \sigma^2}}, \qquad \theta = \arctan \frac{\sigma}{\alpha} $$

        with the components' mean $\bar\mu$, weighed by how likely each is. Hairer's eighth-order Runge-Kutta method in
        float64; a finite data set (a variance of 0) must end at a sigma above 0.
        """
        means, variance = self.means.numpy(), self.variance
        half = (means**2).sum(1) / 2

        def slope(angle: float, flat: Any) -> Any:
            a, s, y = np.cos(angle), np.sin(angle), flat.reshape(-1, means.shape[1])
            spread = a**2 * variance + s**2
            score = a / spread * (y @ means.T - a * half)
            likely = np.exp(score - score.max(1, keepdims=True))
            mean = likely @ means / likely.sum(1, keepdims=True)
            return (s / spread * (a * (1 - variance) * y - mean)).ravel()

        span = atan2(start[1], start[0]), atan2(end[1], end[0])
        y = x_t.double().numpy().ravel() / hypot(*start)
        solved = solve_ivp(slope, span, y, method="DOP853", rtol=rtol, atol=rtol / 10)
        return (torch.from_numpy(solved.y[:, -1].copy()).reshape(x_t.shape) * hypot(*end)).to(x_t.dtype)
