r"""The learned range of the reverse variance.

A step from t to s < t draws from a Gaussian whose variance lies between the posterior's, which is right for a single
datum, and the forward step's, which is right for normal data. A model that has learned it gives v for each number of
x, with

$$ \log n^2 = \log n_\mathrm{small}^2 + \frac{v + 1}{2} \log \frac{n_\mathrm{large}^2}{n_\mathrm{small}^2},
   \qquad \frac{n_\mathrm{large}^2}{n_\mathrm{small}^2} = \frac{1 + \mathrm{SNR}_s}{1 + \mathrm{SNR}_t} $$

Nichol and Dhariwal 2021, Improved Denoising Diffusion Probabilistic Models.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

from diffkit.core.errors import DiffkitError
from diffkit.core.schedule import Schedule
from diffkit.core.types import Count, NonNegative, expand


@dataclass(frozen=True)
class WithVariance:
    """A denoiser that gives v beside x_0, from one call of the network; where v is not asked for, it is any other."""

    answer: Callable[..., tuple[Tensor, Tensor]]
    """`(x_0, v)` for what a denoiser is asked, both like x_t."""

    def __call__(self, *asked: object) -> Tensor:
        """x_0 alone."""
        return self.answer(*asked)[0]


def with_variance(denoise: Callable[[Tensor, Tensor], Tensor]) -> WithVariance:
    """A sampler's denoiser as one that gives v; raises `DiffkitError` if its model has not learned it."""
    if not isinstance(denoise, WithVariance):
        raise DiffkitError(
            "the reverse variance is asked for, which this model has not learned: choose another variance, or train"
            " with learn_variance=true"
        )
    return denoise


def step_divergence(above: Float[Tensor, "*s"], missed: Float[Tensor, "*d"]) -> Float[Tensor, "*d"]:
    r"""The divergence of a reverse step's Gaussian from the posterior, in nats, for each number of x.

    $$ D_\mathrm{KL} = \tfrac12 \left[a + e^{-a} (1 + m) - 1\right], \qquad a = \log \frac{n^2}{n_\mathrm{small}^2},
       \qquad m = (\mathrm{SNR}_s - \mathrm{SNR}_t) (x_0 - \hat x_0)^2 $$
    """
    # expm1, since above is small in each of many steps
    return (above + torch.expm1(-above) + missed * torch.exp(-above)) / 2


@dataclass(frozen=True)
class VarianceBound:
    r"""The part of the loss that v is trained by: the variational bound, without a gradient to the mean.

    $$ \mathrm{weight} \cdot T \cdot D_\mathrm{KL}(q(x_s | x_t, x_0) \,\|\, p(x_s | x_t)) $$

    in nats for each dimension, for one step of a chain of T = `steps`: from t to s = t - 1/T, or to t/2 where that is
    more, since the step to 0 adds no noise. The times are those of training, and need not be on the chain.
    Nichol and Dhariwal 2021, Improved Denoising Diffusion Probabilistic Models.
    """

    steps: Count = 1000
    weight: NonNegative = 0.001

    def __call__(
        self,
        schedule: Schedule,
        t: Float[Tensor, " b"],
        c_out: Float[Tensor, " b"],
        error: Float[Tensor, " b *d"],
        v: Float[Tensor, " b *d"],
    ) -> Float[Tensor, " b *d"]:
        """The term for each number, from the squared `error` of the network's F; t is of a log-SNR within its limit.

        A row's is the mean of its numbers'.
        """
        logsnr_t, logsnr_s = schedule.logsnr(t), schedule.logsnr(torch.maximum(t - 1 / self.steps, t / 2))
        log_range = expand(softplus(logsnr_s) - softplus(logsnr_t), v)
        missed = expand((logsnr_s.exp() - logsnr_t.exp()) * c_out.square(), v) * error.detach()
        return self.weight * self.steps * step_divergence((v + 1) / 2 * log_range, missed)
