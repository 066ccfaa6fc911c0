"""Grids in time: what they do depends on the schedule's own course."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core.grid import Grid
from diffkit.core.schedule import Schedule
from diffkit.core.types import Count, Positive
from diffkit.standard.grids.chain import on_chain
from diffkit.standard.grids.span import LogSnrValue, start


@dataclass(frozen=True)
class Uniform(Grid):
    """Steps of equal length in time, from the last time at which the log-SNR is `logsnr_min`, or from t = 1.

    A lower start gains nothing, since the noise there is the prior to a relative 2e-5; and it costs whoever predicts
    the noise, whose error in x_0 is multiplied by sigma / alpha, 150 at the default. DDPM's schedule ends at -10.1.
    With `chain`, the nearest steps of a discrete chain.
    """

    steps: Count = 20
    logsnr_min: LogSnrValue = -10.0
    chain: Count | None = None

    def __call__(self, schedule: Schedule) -> Float[Tensor, " n"]:
        """See `Grid`."""
        times = torch.linspace(start(schedule, self.logsnr_min), 0, self.steps + 1, dtype=torch.float64)
        return on_chain(times, schedule, self.chain)


@dataclass(frozen=True)
class Quadratic(Grid):
    r"""Times whose square roots fall in equal steps, from the last with a log-SNR of `logsnr_min`, or from t = 1.

    $$ t_k = t_0 \left( 1 - \frac{k}{\mathrm{steps}} \right)^2 $$

    More steps near the data than `uniform` has. With `chain`, the nearest steps of a discrete chain.
    Song et al. 2021, Denoising Diffusion Implicit Models, appendix D.2.
    """

    steps: Count = 20
    logsnr_min: LogSnrValue = -10.0
    chain: Count | None = None

    def __call__(self, schedule: Schedule) -> Float[Tensor, " n"]:
        """See `Grid`."""
        times = start(schedule, self.logsnr_min) * torch.linspace(1, 0, self.steps + 1, dtype=torch.float64).square()
        return on_chain(times, schedule, self.chain)


@dataclass(frozen=True)
class Beta(Grid):
    r"""Times at equal steps of probability under a Beta distribution, from the first with `logsnr_min`, or from t = 1.

    $$ t_k = t_0\, F^{-1}\!\left( 1 - \frac{k}{\mathrm{steps}} \right), \qquad F(t) \propto \int_0^t
       u^{a - 1} (1 - u)^{b - 1}\, du $$

    Both `a` and `b` below 1 put more steps near the data and near the noise, and fewer in the middle; 1 and 1 are
    `uniform`. With `chain`, the nearest steps of a discrete chain.
    Lee et al. 2024, Beta Sampling is All You Need: Efficient Image Generation Strategy for Diffusion Models using
    Stepwise Spectral Analysis.
    """

    steps: Count = 20
    a: Positive = 0.6
    b: Positive = 0.6
    logsnr_min: LogSnrValue = -10.0
    chain: Count | None = None

    def __call__(self, schedule: Schedule) -> Float[Tensor, " n"]:
        """See `Grid`."""
        from scipy.special import betaincinv

        share = torch.linspace(1, 0, self.steps + 1, dtype=torch.float64)
        quantiles = torch.from_numpy(betaincinv(self.a, self.b, share.numpy()))
        return on_chain(start(schedule, self.logsnr_min) * quantiles, schedule, self.chain)
