"""Noise schedules."""

from dataclasses import dataclass
from functools import lru_cache
from math import pi
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core.schedule import Schedule
from diffkit.core.types import Count, NonNegative, Positive, Range

Beta = Annotated[float, Range(1e-12, 0.999)]
"""The variance that one step of a discrete chain adds."""


@lru_cache(maxsize=32)
def _linear_betas(first: float, last: float, steps: int) -> Float[Tensor, " n"]:
    return _log_alpha_bar(torch.linspace(first, last, steps, dtype=torch.float64))


def _log_alpha_bar(betas: Float[Tensor, " m"]) -> Float[Tensor, " n"]:
    r"""$\log \bar\alpha_i = \sum_{j \le i} \log(1 - \beta_j)$ for i = 0 to the number of betas."""
    return torch.cat([torch.zeros(1, dtype=torch.float64), torch.log1p(-betas).cumsum(0)])


def _chain(
    log_alpha_bar: Float[Tensor, " n"], t: Float[Tensor, "*b"]
) -> tuple[Float[Tensor, "*b"], Float[Tensor, "*b"]]:
    """A discrete variance-preserving chain in continuous time: linear in log alpha_bar between its steps."""
    table = log_alpha_bar.to(t.device)
    place = t * (len(table) - 1)
    i = place.long().clamp(0, len(table) - 2)
    log = torch.lerp(table[i], table[i + 1], place - i)
    return (log / 2).exp(), (-torch.expm1(log)).sqrt()


@dataclass(frozen=True)
class Linear(Schedule):
    r"""Variance-preserving, with noise variances beta that grow linearly over a chain of `steps` steps.

    $$ \alpha_t^2 = \prod_{i \le t \cdot \mathrm{steps}} (1 - \beta_i), \qquad \sigma_t^2 = 1 - \alpha_t^2 $$

    Exact at the chain's steps; between them $\log \alpha_t$ is linear. alpha_1 is 0.0064: a little signal is left.
    Ho et al. 2020, Denoising Diffusion Probabilistic Models.
    """

    beta_min: Beta = 1e-4
    beta_max: Beta = 0.02
    steps: Count = 1000

    def __call__(self, t: Float[Tensor, "*b"]) -> tuple[Float[Tensor, "*b"], Float[Tensor, "*b"]]:
        """See `Schedule`."""
        return _chain(_linear_betas(self.beta_min, self.beta_max, self.steps), t)


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
