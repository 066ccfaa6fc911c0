"""The mean and the variance of a sampler's samples of normal data: exact where it is linear, else estimated."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core.sampler import Sampler
from diffkit.core.schedule import Schedule
from diffkit.testing.contracts.walk import ends, run
from diffkit.testing.oracle import Gaussian

SAMPLES = 4096
"""Drawn where the moments cannot be had exactly."""


def brief(value: float, digits: int = 1) -> str:
    """A number in few characters: `-1.2e-3`."""
    mantissa, _, exponent = f"{value:.{digits}e}".partition("e")
    return f"{mantissa}e{int(exponent)}" if exponent else mantissa


@dataclass(frozen=True)
class Estimate:
    """A figure, and half its 95 % confidence interval: 0 where it is exact."""

    value: float
    half: float = 0.0

    def __str__(self) -> str:
        return brief(self.value) + (f" ± {brief(self.half, 0)}" if self.half else "")


@dataclass(frozen=True)
class Moments:
    """Errors of the samples' distribution after a step, relative to the exact one at that step's time."""

    mean: Estimate
    """The distance of the means, by the root of the total variance."""
    variance: Estimate
    """The error of the total variance, by that variance; negative where samples are too narrow."""
    worst: float | None
    """The largest relative error of the variance along an eigenvector; None where it is not exact."""


def moments(
    sampler: Sampler, schedule: Schedule, times: Float[Tensor, " n"], gaussian: Gaussian, step: int | None = None
) -> Moments:
    """The errors after a step (the last, if none is given), from the exact distribution at the first time."""
    step = len(times) - 1 if step is None else step
    exact = linear_moments(sampler, schedule, times, gaussian, step)
    if exact is None:
        return drawn_moments(sampler, schedule, times, gaussian, step)
    mean, wanted = marginal(schedule, times[step].item(), gaussian)
    off, total = (exact[0] - mean).norm() / wanted.sum().sqrt(), exact[1].sum() / wanted.sum() - 1
    return Moments(Estimate(off.item()), Estimate(total.item()), (exact[1] / wanted - 1).abs().max().item())


def marginal(schedule: Schedule, t: float, gaussian: Gaussian) -> tuple[Float[Tensor, " d"], Float[Tensor, " d"]]:
    """The exact mean of x_t, and its variances along the eigenvectors."""
    alpha, sigma = ends(schedule, t)
    return alpha * gaussian.mean, alpha**2 * gaussian.variances + sigma**2


def linear_moments(
    sampler: Sampler, schedule: Schedule, times: Float[Tensor, " n"], gaussian: Gaussian, step: int
) -> tuple[Float[Tensor, " d"], Float[Tensor, " d"]] | None:
    """The exact mean, and the variances along the data's eigenvectors, of a linear sampler's samples; else None.

    On normal data a sample is linear in x and in every number drawn, each eigenvector by itself. So a row that has a
    single draw, of 1 along all of them, gives that draw's shares: the variances are the sums of the shares' squares.
    Whether that is so is seen from two rows of random draws, which must be the sums of their draws' shares.
    """
    (mean, variances), (alpha, sigma) = marginal(schedule, times[0].item(), gaussian), ends(schedule, times[0].item())
    count = _Probe(gaussian, 1)
    scale = (alpha**2 + sigma**2) ** 0.5
    run(sampler, schedule, times, mean.repeat(3, 1) / scale, count, gaussian)
    probe = _Probe(gaussian, 2 + len(count.drawn))  # row 0: no draw; row 1: x at the first time, which is a draw, too
    x = mean + probe.parts() * variances.sqrt() @ gaussian.basis.T
    out = run(sampler, schedule, times, x / scale, probe, gaussian)[step - 1].x
    shares = (out[1:-2] - out[0]) @ gaussian.basis
    if len(probe.drawn) != len(shares):
        return None
    sums = (shares[:, None] * torch.stack(probe.drawn)).sum(0)
    off = (out[-2:] - out[0]) @ gaussian.basis - sums
    return (out[0], shares.square().sum(0)) if off.abs().max() < 1e-8 * sums.abs().max() else None


class _Probe:
    """Noise for `rows` rows that have one draw each, along every eigenvector, and two more of random draws."""

    def __init__(self, gaussian: Gaussian, rows: int) -> None:
        self.basis, self.rows = gaussian.basis, rows
        self.random = torch.Generator().manual_seed(0)
        self.drawn: list[Tensor] = []

    def parts(self) -> Float[Tensor, "b d"]:
        """The next draw along the eigenvectors."""
        parts = torch.zeros(self.rows + 2, len(self.basis), dtype=torch.float64)
        parts[-2:] = torch.randn(parts[-2:].shape, generator=self.random, dtype=torch.float64)
        self.drawn.append(parts[-2:])
        if len(self.drawn) < self.rows:
            parts[len(self.drawn)] = 1
        return parts

    def __call__(self, x: Tensor) -> Tensor:
        """The next noise."""
        return self.parts() @ self.basis.T


def drawn_moments(
    sampler: Sampler, schedule: Schedule, times: Float[Tensor, " n"], gaussian: Gaussian, step: int
) -> Moments:
    """The errors of drawn samples, with their confidence intervals."""
    g = torch.Generator().manual_seed(0)
    (mean, variances), (alpha, sigma) = marginal(schedule, times[0].item(), gaussian), ends(schedule, times[0].item())

    def normal(x: Tensor) -> Tensor:
        return torch.randn(x.shape, generator=g, dtype=torch.float64)

    x = mean + normal(torch.empty(SAMPLES, len(mean))) * variances.sqrt() @ gaussian.basis.T
    x = run(sampler, schedule, times, x / (alpha**2 + sigma**2) ** 0.5, normal, gaussian)[step - 1].x
    mean, wanted = marginal(schedule, times[step].item(), gaussian)
    spread, total = (x - mean).square().sum(1), wanted.sum()
    variance = Estimate((spread.mean() / total - 1).item(), (1.96 * spread.std() / total / SAMPLES**0.5).item())
    return Moments(Estimate(((x.mean(0) - mean).norm() / total.sqrt()).item(), 1.96 / SAMPLES**0.5), variance, None)
