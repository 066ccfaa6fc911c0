"""The oracles against what defines them: Bayes' rule, the ODE, drawn samples."""

import pytest
import torch

from diffkit.testing.oracle import Gaussian, Mixture

ALPHA, SIGMA = 0.8, 0.5


def test_gaussian_log_density_is_torchs() -> None:
    gaussian, x = Gaussian.random(4), torch.randn(5, 4, dtype=torch.float64)
    covariance = ALPHA**2 * gaussian.covariance + SIGMA**2 * torch.eye(4)
    wanted = torch.distributions.MultivariateNormal(ALPHA * gaussian.mean, covariance).log_prob(x)
    torch.testing.assert_close(gaussian.log_density(x, ALPHA, SIGMA), wanted)


def test_gaussian_denoiser_is_tweedies() -> None:
    gaussian, x = Gaussian.random(4), torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    (score,) = torch.autograd.grad(gaussian.log_density(x, ALPHA, SIGMA).sum(), x)
    torch.testing.assert_close(gaussian.x_0(x, ALPHA, SIGMA), (x + SIGMA**2 * score) / ALPHA)


def test_gaussian_flow_solves_the_probability_flow() -> None:
    """d(x/alpha) / d(sigma/alpha) = (x - alpha x_0) / sigma, by a central difference along the exact solution."""
    gaussian, x, h = Gaussian.random(4), torch.randn(5, 4, dtype=torch.float64), 1e-5
    ahead, behind = (gaussian.flow(x, (ALPHA, SIGMA), (ALPHA, SIGMA + d)) for d in (h, -h))
    slope = (ahead - behind) / ALPHA / (2 * h / ALPHA)
    torch.testing.assert_close(slope, (x - ALPHA * gaussian.x_0(x, ALPHA, SIGMA)) / SIGMA, rtol=1e-8, atol=1e-8)


def test_gaussian_samples() -> None:
    gaussian = Gaussian.random(3)
    x = gaussian.sample(200000, torch.Generator().manual_seed(0))
    torch.testing.assert_close(x.mean(0), gaussian.mean, rtol=0, atol=0.02)
    torch.testing.assert_close(x.T.cov(), gaussian.covariance, rtol=0, atol=0.04)


@pytest.mark.parametrize("variance", [0.0, 0.04])
def test_mixture_denoiser_is_the_mean_of_the_posterior(variance: float) -> None:
    """Against the mean of drawn data weighed by the likelihood of x_t."""
    mixture = Mixture(torch.tensor([[1.0, 0.5], [-1.0, 0.0], [0.0, -1.5]], dtype=torch.float64), variance)
    data = mixture.sample(400000, torch.Generator().manual_seed(0))
    x_t = torch.tensor([[0.2, 0.1], [-0.5, -0.5]], dtype=torch.float64)
    likely = (-(x_t[:, None] - ALPHA * data).square().sum(2) / (2 * SIGMA**2)).softmax(1)
    torch.testing.assert_close(mixture.x_0(x_t, ALPHA, SIGMA), likely @ data, rtol=0, atol=5e-3)


def test_finite_data_are_remembered_near_the_data() -> None:
    rows = torch.randn(7, 3, dtype=torch.float64)
    torch.testing.assert_close(Mixture(rows).x_0(rows + 1e-3, 1.0, 1e-3), rows)
    torch.testing.assert_close(Mixture(rows).x_0(rows, 1e-9, 1.0), rows.mean(0).expand_as(rows))


def test_circle_has_unit_variance() -> None:
    x = Mixture.circle().sample(100000, torch.Generator().manual_seed(0))
    assert x.var(0).tolist() == pytest.approx([1.02, 1.02], abs=0.02)


def test_answers_have_the_dtype_of_x_t() -> None:
    x = torch.randn(2, 2)
    assert Mixture.circle().x_0(x, 1.0, 1.0).dtype == Gaussian.random(2).x_0(x, 1.0, 1.0).dtype == torch.float32
