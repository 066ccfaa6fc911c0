"""Stochastic samplers: the distribution of their samples, exactly, and the noise that they ask for."""

import pytest
import torch
from torch import Tensor

from diffkit.core.sampler import Sampler
from diffkit.standard.samplers.ddim import Ddim
from diffkit.standard.samplers.ddpm import Ddpm
from diffkit.standard.schedules import Cosine
from diffkit.testing.contracts.moments import linear_moments
from diffkit.testing.contracts.walk import DIMENSION, gaussian, run, start, times_of


def moments(sampler: Sampler, times: Tensor) -> tuple[Tensor, Tensor]:
    """The exact mean and covariance of the samples."""
    found = linear_moments(sampler, Cosine(), times, gaussian(DIMENSION), len(times) - 1)
    assert found is not None
    mean, variances = found
    return mean, gaussian(DIMENSION).basis * variances @ gaussian(DIMENSION).basis.T


@pytest.mark.parametrize("sampler", [Ddpm("small"), Ddpm("large"), Ddim(0.5)], ids=str)
def test_samples_have_the_datas_mean_and_covariance(sampler: Sampler) -> None:
    """Both errors at 640 steps are small, and half of those at 320 (Richardson: none is left in the limit)."""
    data = gaussian(DIMENSION)
    (mean, covariance), (coarse_mean, coarse) = (moments(sampler, times_of(Cosine(), n)) for n in (640, 320))
    torch.testing.assert_close(mean, data.mean, rtol=0, atol=0.02)
    torch.testing.assert_close(covariance, data.covariance, rtol=0, atol=0.04)
    torch.testing.assert_close(2 * mean - coarse_mean, data.mean, rtol=0, atol=1e-3)
    torch.testing.assert_close(2 * covariance - coarse, data.covariance, rtol=0, atol=2e-3)


def test_exact_moments_are_those_of_drawn_samples() -> None:
    """The contract's moments against 40000 drawn samples, within 4 standard errors."""
    times, n = times_of(Cosine(), 8), 40000
    g = torch.Generator().manual_seed(0)
    alpha, sigma = (c.item() for c in Cosine()(times[0]))
    x = alpha * gaussian(DIMENSION).sample(n, g) + sigma * torch.randn(n, DIMENSION, generator=g, dtype=torch.float64)

    def noise(x: Tensor) -> Tensor:
        return torch.randn(x.shape, generator=g, dtype=x.dtype)

    samples = run(Ddpm(), Cosine(), times, x / (alpha**2 + sigma**2) ** 0.5, noise)[-1].x
    mean, covariance = moments(Ddpm(), times)
    spread = covariance.diagonal().sqrt()
    assert ((samples.mean(0) - mean).abs() < 4 * spread / n**0.5).all()
    error = 4 * spread[:, None] * spread * (2 / n) ** 0.5
    assert ((samples.T.cov() - covariance).abs() < error).all()


@pytest.mark.parametrize(("sampler", "draws"), [(Ddpm("small"), 4), (Ddpm("large"), 4), (Ddim(0.0), 0), (Ddim(0.1), 4)])
def test_no_noise_is_drawn_where_none_is_added(sampler: Sampler, draws: int) -> None:
    asked = []

    def noise(x: Tensor) -> Tensor:
        asked.append(x)
        return torch.zeros_like(x)

    run(sampler, Cosine(), times_of(Cosine(), 5), start(), noise)
    assert len(asked) == draws
