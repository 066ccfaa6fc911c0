"""DDPM's ancestral sampler."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core.sampler import Denoiser, Draw, Rows, Sampler, State, Times
from diffkit.core.schedule import Schedule
from diffkit.core.variance import WithVariance, with_variance
from diffkit.standard.samplers.ends import Ends
from diffkit.standard.samplers.multistep import Table, multistep


@dataclass(frozen=True)
class Ddpm(Sampler):
    r"""Stochastic, first order in distribution; one network call a step. Draws from the Gaussian p(x_s | x_t, x_0).

    $$ x_s = q \frac{\sigma_s}{\sigma_t} x_t + \alpha_s (1 - q^2)\, \hat x_0 + n z,
       \qquad q = \frac{\sigma_s / \alpha_s}{\sigma_t / \alpha_t} $$

    with the posterior variance $n^2 = \sigma_s^2 (1 - q^2)$ (`small`: right for a single datum), or the variance of
    the forward step (`large`: right for normal data): beta on a variance-preserving path, and scaled as x_s is on
    any other; or one between the two that a model with `learn_variance` gives for each number of x (`learned`). No
    noise is added in the step to sigma_s = 0.
    Ho et al. 2020, Denoising Diffusion Probabilistic Models; Nichol and Dhariwal 2021, Improved Denoising Diffusion
    Probabilistic Models.
    """

    variance: Literal["small", "large", "learned"] = "small"

    order = 1

    def steps(self, denoise: Denoiser, schedule: Schedule, x: Rows, times: Times, noise: Draw) -> Iterator[State]:
        """See `Sampler`."""
        ends = Ends.of(schedule, times)
        fresh = (1 - ends.ratio) * (1 + ends.ratio)
        keep, pull = ends.ratio * ends.sigma_s / ends.sigma_t, ends.alpha_s * fresh
        small, large = ends.sigma_s * fresh.sqrt(), _forward(ends)
        if self.variance == "learned":
            return _between(with_variance(denoise), x, times, noise, torch.stack([keep, pull, small, large]))
        spread = small if self.variance == "small" else large
        return multistep(denoise, x, times, noise, Table(keep, pull[:, None], spread=spread))


def _between(
    denoise: WithVariance,
    x: Tensor,
    times: Float[Tensor, " m"],
    noise: Draw,
    steps: Float[Tensor, "4 n"],
) -> Iterator[State]:
    """The steps with a deviation between the two, at the place (v + 1) / 2 of their logarithms."""
    ends, (keep, pull, small, _) = times.tolist(), steps.tolist()
    widths = (steps[3] / steps[2]).log().div(2).tolist()  # not a number in the step to 0, and not used there
    for i, t in enumerate(times[:-1].unbind()):
        x_0, v = denoise.answer(x, t)
        x = (x * keep[i]).add_(x_0, alpha=pull[i])
        if small[i]:
            x.addcmul_(noise(x), ((v + 1) * widths[i]).exp_(), value=small[i])
        yield State(i + 1, ends[i + 1], x, x_0)


def _forward(ends: Ends) -> Float[Tensor, " n"]:
    r"""$\sqrt{\beta\, (\alpha_s^2 + \sigma_s^2)}$ with beta of the variance-preserving path of the same log-SNR."""
    square_s = ends.alpha_s.square() + ends.sigma_s.square()
    square_t = ends.alpha_t.square() + ends.sigma_t.square()
    # beta = 1 - p_t / p_s, with p = alpha^2 / (alpha^2 + sigma^2), written with the small difference 1 - q^2
    beta = (1 - ends.ratio) * (1 + ends.ratio) * ends.sigma_t.square() / square_t
    return torch.where(ends.sigma_s > 0, (beta * square_s).sqrt(), 0.0)
