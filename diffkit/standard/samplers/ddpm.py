"""DDPM's ancestral sampler."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core.sampler import Sampler, State
from diffkit.core.schedule import Schedule
from diffkit.standard.samplers.multistep import Ends, multistep


@dataclass(frozen=True)
class Ddpm(Sampler):
    r"""Stochastic, first order in distribution; one network call a step. Draws from the Gaussian p(x_s | x_t, x_0).

    $$ x_s = q \frac{\sigma_s}{\sigma_t} x_t + \alpha_s (1 - q^2)\, \hat x_0 + n z,
       \qquad q = \frac{\sigma_s / \alpha_s}{\sigma_t / \alpha_t} $$

    with the posterior variance $n^2 = \sigma_s^2 (1 - q^2)$ (`small`: right for a single datum), or the variance of
    the forward step (`large`: right for normal data): beta on a variance-preserving path, and scaled as x_s is on
    any other. No noise is added in the step to sigma_s = 0.
    Ho et al. 2020, Denoising Diffusion Probabilistic Models.
    """

    variance: Literal["small", "large"] = "small"

    order = 1

    def steps(
        self,
        denoise: Callable[[Tensor, Tensor], Tensor],
        schedule: Schedule,
        x: Float[Tensor, " b *d"],
        times: Float[Tensor, " n"],
        noise: Callable[[Tensor], Tensor],
    ) -> Iterator[State]:
        """See `Sampler`."""
        ends = Ends.of(schedule, times)
        fresh = (1 - ends.ratio) * (1 + ends.ratio)
        keep, pull = ends.ratio * ends.sigma_s / ends.sigma_t, ends.alpha_s * fresh
        spread = ends.sigma_s * fresh.sqrt() if self.variance == "small" else _forward(ends)
        return multistep(denoise, x, times, noise, keep, pull[:, None], spread)


def _forward(ends: Ends) -> Float[Tensor, " n"]:
    r"""$\sqrt{\beta\, (\alpha_s^2 + \sigma_s^2)}$ with beta of the variance-preserving path of the same log-SNR."""
    square_s = ends.alpha_s.square() + ends.sigma_s.square()
    square_t = ends.alpha_t.square() + ends.sigma_t.square()
    # beta = 1 - p_t / p_s, with p = alpha^2 / (alpha^2 + sigma^2), written with the small difference 1 - q^2
    beta = (1 - ends.ratio) * (1 + ends.ratio) * ends.sigma_t.square() / square_t
    return torch.where(ends.sigma_s > 0, (beta * square_s).sqrt(), 0.0)
