"""Grids in the noise level sigma_t / alpha_t: the same levels on every schedule that reaches them."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core.grid import Grid
from diffkit.core.schedule import Schedule
from diffkit.core.types import Count, Positive
from diffkit.standard.grids.chain import on_chain
from diffkit.standard.grids.span import LogSnrValue, span, to_data


@dataclass(frozen=True)
class LogSnr(Grid):
    """Steps of equal length in log-SNR from `logsnr_min` to `logsnr_max`, and one from there to the data.

    With `chain`, the nearest steps of a discrete chain.
    Lu et al. 2022, DPM-Solver: A Fast ODE Solver for Diffusion Probabilistic Model Sampling in Around 10 Steps.
    """

    steps: Count = 20
    logsnr_min: LogSnrValue = -9.0
    logsnr_max: LogSnrValue = 9.0
    chain: Count | None = None

    def __call__(self, schedule: Schedule) -> Float[Tensor, " n"]:
        """See `Grid`."""
        low, high = span(schedule, self.logsnr_min, self.logsnr_max)
        logsnr = torch.linspace(low, high, self.steps, dtype=torch.float64)
        return on_chain(to_data(schedule, logsnr), schedule, self.chain)


@dataclass(frozen=True)
class Exponential(Grid):
    r"""Log-SNRs by a power of their place, from `logsnr_min` to `logsnr_max`, and one step from there to the data.

    $$ \log\mathrm{SNR}_k = \mathrm{max} - (\mathrm{max} - \mathrm{min})
       \left( 1 - \frac{k}{\mathrm{steps} - 1} \right)^\rho, \qquad k = 0, \ldots, \mathrm{steps} - 1 $$

    Noise levels that fall by the same factor in each step at a `rho` of 1, where it is `logsnr`; larger values put more
    steps near the data. With `chain`, the nearest steps of a discrete chain.
    Known as polyexponential from Katherine Crowson's k-diffusion.
    """

    steps: Count = 20
    rho: Positive = 1.0
    logsnr_min: LogSnrValue = -9.0
    logsnr_max: LogSnrValue = 9.0
    chain: Count | None = None

    def __call__(self, schedule: Schedule) -> Float[Tensor, " n"]:
        """See `Grid`."""
        low, high = span(schedule, self.logsnr_min, self.logsnr_max)
        left = torch.linspace(1, 0, self.steps, dtype=torch.float64) ** self.rho
        return on_chain(to_data(schedule, low + (high - low) * (1 - left)), schedule, self.chain)


@dataclass(frozen=True)
class Karras(Grid):
    r"""Steps of equal length in a power of the noise level between two log-SNRs, and one from there to the data.

    $$ (\sigma_t / \alpha_t)^{1/\rho} \text{ falls in equal steps} $$

    Large `rho` puts more steps near the data. EDM's noise levels 80 to 0.002 are log-SNRs of -8.8 to 12.4.
    With `chain`, the nearest steps of a discrete chain.
    Karras et al. 2022, Elucidating the Design Space of Diffusion-Based Generative Models.
    """

    steps: Count = 20
    rho: Positive = 7.0
    logsnr_min: LogSnrValue = -9.0
    logsnr_max: LogSnrValue = 9.0
    chain: Count | None = None

    def __call__(self, schedule: Schedule) -> Float[Tensor, " n"]:
        """See `Grid`."""
        ends = torch.tensor(span(schedule, self.logsnr_min, self.logsnr_max), dtype=torch.float64)
        first, last = (ends / (-2 * self.rho)).exp().tolist()
        levels = torch.linspace(first, last, self.steps, dtype=torch.float64)
        return on_chain(to_data(schedule, -2 * self.rho * levels.log()), schedule, self.chain)


@dataclass(frozen=True)
class Flow(Grid):
    r"""Steps in the time of the straight path, from `logsnr_min` to the data, on any schedule.

    $$ \frac{\sigma_t}{\alpha_t} = \mathrm{shift} \cdot \frac{u}{1 - u},
       \qquad u^{1 / \rho} \text{ falls in equal steps to } 0 $$

    Without `shift` u is sigma / (alpha + sigma); above 1 it puts more steps near the noise, as many as pictures of
    `shift` times the width want. `rho` above 1 shortens the steps near the data; at 1 they are equal. The
    default is what suited `abm` best on exact problems and on digits. With `chain`, the nearest steps of a discrete
    chain.
    Esser et al. 2024, Scaling Rectified Flow Transformers for High-Resolution Image Synthesis.
    """

    steps: Count = 20
    shift: Positive = 1.0
    logsnr_min: LogSnrValue = -9.0
    rho: Positive = 1.4
    chain: Count | None = None

    def __call__(self, schedule: Schedule) -> Float[Tensor, " n"]:
        """See `Grid`."""
        low, extra = span(schedule, self.logsnr_min)[0], 2 * math.log(self.shift)
        # 1 / u in place of u: of the steps the first is exactly the log-SNR asked for
        first = torch.tensor((low + extra) / 2, dtype=torch.float64).exp()
        share = (torch.arange(self.steps, 0, -1, dtype=torch.float64) / self.steps) ** self.rho
        rest = (1 - share + first) / share  # (1 - u) / u for u = share / (1 + first)
        return on_chain(to_data(schedule, 2 * rest.log() - extra), schedule, self.chain)
