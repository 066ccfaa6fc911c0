"""Predictions: what the network's output means.

Each is homogeneous in (alpha, sigma), and none subtracts: so all digits are kept at any log-SNR.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core.prediction import Prediction
from diffkit.core.types import Positive

Coefficients = tuple[Float[Tensor, "*b"], Float[Tensor, "*b"]]


@dataclass(frozen=True)
class Eps(Prediction):
    r"""The noise.

    $$ F = \varepsilon, \qquad x_0 = (x_t - \sigma F) / \alpha $$

    Its error in x_0 grows as sigma / alpha: it needs a schedule that leaves some signal.
    Ho et al. 2020, Denoising Diffusion Probabilistic Models.
    """

    def __call__(self, alpha: Float[Tensor, "*b"], sigma: Float[Tensor, "*b"]) -> Coefficients:
        """See `Prediction`."""
        return 1 / alpha, -sigma / alpha


@dataclass(frozen=True)
class X0(Prediction):
    """The data themselves: F = x_0."""

    def __call__(self, alpha: Float[Tensor, "*b"], sigma: Float[Tensor, "*b"]) -> Coefficients:
        """See `Prediction`."""
        return torch.zeros_like(alpha), torch.ones_like(alpha)


@dataclass(frozen=True)
class V(Prediction):
    r"""The velocity, of unit variance at every noise level.

    $$ F = \frac{\alpha \varepsilon - \sigma x_0}{\sqrt{\alpha^2 + \sigma^2}} $$

    Salimans and Ho 2022, Progressive Distillation for Fast Sampling of Diffusion Models.
    """

    def __call__(self, alpha: Float[Tensor, "*b"], sigma: Float[Tensor, "*b"]) -> Coefficients:
        """See `Prediction`."""
        square = alpha.square() + sigma.square()
        return alpha / square, -sigma * square.rsqrt()


@dataclass(frozen=True)
class Flow(Prediction):
    r"""The straight path's velocity, from the data to the noise.

    $$ F = u = \varepsilon - x_0 $$

    Lipman et al. 2022, Flow Matching for Generative Modeling; Liu et al. 2022, Flow Straight and Fast.
    """

    def __call__(self, alpha: Float[Tensor, "*b"], sigma: Float[Tensor, "*b"]) -> Coefficients:
        """See `Prediction`."""
        return 1 / (alpha + sigma), -sigma / (alpha + sigma)


@dataclass(frozen=True)
class Edm(Prediction):
    r"""EDM's preconditioning: what is left of x_0 after the best linear guess, at unit variance.

    $$ c_\mathrm{skip} = \frac{\alpha d^2}{q}, \qquad c_\mathrm{out} = \frac{\sigma d}{\sqrt q},
       \qquad q = \sigma^2 + \alpha^2 d^2 $$

    for d = `sigma_data`, the data's standard deviation; data are standardised, so it is 1. (Then F is minus `V`'s.)
    Karras et al. 2022, Elucidating the Design Space of Diffusion-Based Generative Models.
    """

    sigma_data: Positive = 1.0

    def __call__(self, alpha: Float[Tensor, "*b"], sigma: Float[Tensor, "*b"]) -> Coefficients:
        """See `Prediction`."""
        square = sigma.square() + (alpha * self.sigma_data).square()
        return alpha * self.sigma_data**2 / square, sigma * self.sigma_data * square.rsqrt()


@dataclass(frozen=True)
class Score(Prediction):
    r"""The gradient of the log density, in units of its own deviation $1 / \sigma_t$.

    $$ F = \sigma_t \nabla \log p_t(x_t), \qquad x_0 = (x_t + \sigma F) / \alpha $$

    Its target is $-\varepsilon$, so that F has unit variance at every noise level and does not see the path's scale;
    and its unweighted loss is denoising score matching with the weights $\lambda_t = \sigma_t^2$. The error in x_0
    grows as sigma / alpha, as that of `eps` does.
    Song et al. 2021, Score-Based Generative Modeling through Stochastic Differential Equations.
    """

    def __call__(self, alpha: Float[Tensor, "*b"], sigma: Float[Tensor, "*b"]) -> Coefficients:
        """See `Prediction`."""
        return 1 / alpha, sigma / alpha
