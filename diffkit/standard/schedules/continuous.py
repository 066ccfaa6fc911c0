"""Schedules with alpha and sigma as functions of continuous time."""

from dataclasses import dataclass
from math import log, pi

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core.errors import DiffkitError
from diffkit.core.schedule import Schedule
from diffkit.core.types import NonNegative, Positive
from diffkit.standard.schedules.preserving import from_log_signal


def _integral(beta_min: float, beta_max: float, t: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
    r"""$\int_0^t \beta$ for a rate that grows linearly in time."""
    return t * (beta_min + (beta_max - beta_min) / 2 * t)


@dataclass(frozen=True)
class Vp(Schedule):
    r"""Variance-preserving, with a rate of noise that grows linearly in continuous time.

    $$ \alpha_t = \exp \left( -\frac12 \int_0^t \beta \right), \qquad \sigma_t^2 = 1 - \alpha_t^2, \qquad
       \beta(t) = \beta_\mathrm{min} + t\, (\beta_\mathrm{max} - \beta_\mathrm{min}) $$

    The rates are per unit of time: those of a chain of 1000 steps, times 1000. alpha_1 is 0.0066.
    Song et al. 2021, Score-Based Generative Modeling through Stochastic Differential Equations.
    """

    beta_min: Positive = 0.1
    beta_max: Positive = 20.0

    def __call__(self, t: Float[Tensor, "*b"]) -> tuple[Float[Tensor, "*b"], Float[Tensor, "*b"]]:
        """See `Schedule`."""
        return from_log_signal(-_integral(self.beta_min, self.beta_max, t))


@dataclass(frozen=True)
class SubVp(Schedule):
    r"""The signal of `vp`, with less noise: the variance stays below one on the way.

    $$ \alpha_t = \exp \left( -\frac12 \int_0^t \beta \right), \qquad \sigma_t = 1 - \alpha_t^2, \qquad
       \beta(t) = \beta_\mathrm{min} + t\, (\beta_\mathrm{max} - \beta_\mathrm{min}) $$

    Song et al. 2021, Score-Based Generative Modeling through Stochastic Differential Equations.
    """

    beta_min: Positive = 0.1
    beta_max: Positive = 20.0

    def __call__(self, t: Float[Tensor, "*b"]) -> tuple[Float[Tensor, "*b"], Float[Tensor, "*b"]]:
        """See `Schedule`."""
        whole = _integral(self.beta_min, self.beta_max, t)
        return (-whole / 2).exp(), -torch.expm1(-whole)


@dataclass(frozen=True)
class Ve(Schedule):
    r"""Variance-exploding, with noise that grows by the same factor in equal times.

    $$ \alpha_t = 1, \qquad \sigma_t^2 = \sigma_\mathrm{min}^2 \left(
       \left( \frac{\sigma_\mathrm{max}}{\sigma_\mathrm{min}} \right)^{2t} - 1 \right) $$

    `sigma_min` and `sigma_max` are in units of the data's standard deviation; the noise of variance
    $\sigma_\mathrm{min}^2$ that the path of the paper starts with is taken off, so that sigma_0 is 0. Raises
    `DiffkitError` unless `sigma_max` is above `sigma_min`.
    Song et al. 2021, Score-Based Generative Modeling through Stochastic Differential Equations.
    """

    sigma_min: Positive = 0.01
    sigma_max: Positive = 50.0

    def __post_init__(self) -> None:
        if not self.sigma_max > self.sigma_min:
            raise DiffkitError(f"sigma_max={self.sigma_max:g} must be above sigma_min={self.sigma_min:g}; raise it")

    def __call__(self, t: Float[Tensor, "*b"]) -> tuple[Float[Tensor, "*b"], Float[Tensor, "*b"]]:
        """See `Schedule`."""
        growth = 2 * log(self.sigma_max / self.sigma_min)
        return torch.ones_like(t), self.sigma_min * torch.expm1(growth * t).sqrt()


@dataclass(frozen=True)
class Cosine(Schedule):
    r"""Variance-preserving, with alpha a quarter of a cosine; alpha_1 is exactly 0.

    $$ \alpha_t = \frac{\cos \theta_t}{\cos \theta_0}, \qquad \theta_t = \frac{\pi}{2} \frac{t + o}{1 + o} $$

    for the offset o. No beta is clipped, since time is continuous.
    Nichol and Dhariwal 2021, Improved Denoising Diffusion Probabilistic Models.
    """

    offset: NonNegative = 0.008

    def __call__(self, t: Float[Tensor, "*b"]) -> tuple[Float[Tensor, "*b"], Float[Tensor, "*b"]]:
        """See `Schedule`."""
        quarter = pi / 2 / (1 + self.offset)
        start = torch.tensor(quarter * self.offset, dtype=t.dtype, device=t.device)
        # cos(pi/2 - a) as sin(a), and cos^2 a - cos^2 b as sin(b - a) sin(b + a): neither loses digits at the ends
        alpha = (quarter * (1 - t)).sin() / start.cos()
        sigma = ((quarter * t).sin() * (quarter * t + 2 * start).sin()).sqrt() / start.cos()
        return alpha, sigma


@dataclass(frozen=True)
class Flow(Schedule):
    r"""The straight path of rectified flow and flow matching.

    $$ \alpha_t = 1 - \tau, \qquad \sigma_t = \tau, \qquad \tau = \frac{k t}{1 + (k - 1) t} $$

    k = `shift` above 1 moves the times towards noise, as larger pictures need; 1 is none.
    Liu et al. 2022, Flow Straight and Fast; the shift from Esser et al. 2024, Scaling Rectified Flow Transformers.
    """

    shift: Positive = 1.0

    def __call__(self, t: Float[Tensor, "*b"]) -> tuple[Float[Tensor, "*b"], Float[Tensor, "*b"]]:
        """See `Schedule`."""
        whole = 1 + (self.shift - 1) * t
        return (1 - t) / whole, self.shift * t / whole


@dataclass(frozen=True)
class Edm(Schedule):
    r"""Variance-exploding, with noise that grows linearly in time.

    $$ \alpha_t = 1, \qquad \sigma_t = \sigma_\mathrm{max} t $$

    `sigma_max` is in units of the data's standard deviation.
    Karras et al. 2022, Elucidating the Design Space of Diffusion-Based Generative Models.
    """

    sigma_max: Positive = 80.0

    def __call__(self, t: Float[Tensor, "*b"]) -> tuple[Float[Tensor, "*b"], Float[Tensor, "*b"]]:
        """See `Schedule`."""
        return torch.ones_like(t), self.sigma_max * t
