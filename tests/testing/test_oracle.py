"""The oracles against what defines them: Bayes' rule, the ODE, drawn samples."""

import numpy as np
import pytest
import torch
from scipy.stats import norm

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


NOISE, DATA = (1.0, 80.0), (1.0, 0.0)


def points(dimension: int, rows: int = 64) -> torch.Tensor:
    g = torch.Generator().manual_seed(0)
    return 80 * torch.randn(rows, dimension, generator=g, dtype=torch.float64)


def test_mixture_flow_on_a_line_keeps_every_points_share_of_the_mass() -> None:
    """In one dimension the flow is the monotone map between the two distributions: their CDFs agree, to 1e-9."""
    mixture, x = Mixture(torch.tensor([[-1.2], [0.1], [1.5]], dtype=torch.float64), 0.04), points(1)

    def share(x: torch.Tensor, alpha: float, sigma: float) -> np.ndarray:
        spread = (alpha**2 * mixture.variance + sigma**2) ** 0.5
        return np.mean([norm.cdf(x[:, 0].numpy(), alpha * m, spread) for m in mixture.means[:, 0].tolist()], axis=0)

    for end in (DATA, (0.3, 0.02), (0.8, 0.6)):
        np.testing.assert_allclose(share(mixture.flow(x, NOISE, end), *end), share(x, *NOISE), rtol=0, atol=1e-9)


def test_mixture_flow_of_one_mode_is_the_gaussians() -> None:
    mean, x = torch.tensor([0.5, -1.0], dtype=torch.float64), points(2)
    one = Gaussian(mean, torch.eye(2, dtype=torch.float64), torch.full((2,), 0.04, dtype=torch.float64))
    for end in (DATA, (0.3, 0.02)):
        wanted = one.flow(x, NOISE, end)
        torch.testing.assert_close(Mixture(mean[None], 0.04).flow(x, NOISE, end), wanted, rtol=0, atol=1e-12)


def test_mixture_flow_is_exact_to_1e_9() -> None:
    """Of the default tolerance and one a hundred times as wide, the results differ by far less than 1e-9."""
    x = points(2)
    exact = Mixture.circle().flow(x, NOISE, DATA)
    torch.testing.assert_close(Mixture.circle().flow(x, NOISE, DATA, rtol=1e-11), exact, rtol=0, atol=1e-10)


def test_mixture_flow_is_that_of_fine_runge_kutta_steps() -> None:
    """d(x/alpha) / d(sigma/alpha) = (x - alpha x_0) / sigma by the classical method, from the denoiser itself."""
    mixture = Mixture.circle()
    x = mixture.flow(points(2, 16), NOISE, (1.0, 3.0))
    wanted, levels = mixture.flow(x, (1.0, 3.0), (1.0, 0.1)), np.geomspace(3.0, 0.1, 801)

    def slope(x: torch.Tensor, level: float) -> torch.Tensor:
        return (x - mixture.x_0(x, 1.0, level)) / level

    for first, last in zip(levels[:-1].tolist(), levels[1:].tolist(), strict=True):
        h, middle = last - first, (first + last) / 2
        a = slope(x, first)
        b = slope(x + h / 2 * a, middle)
        c = slope(x + h / 2 * b, middle)
        x = x + h / 6 * (a + 2 * b + 2 * c + slope(x + h * c, last))
    torch.testing.assert_close(x, wanted, rtol=0, atol=1e-8)


def test_mixture_flow_depends_on_the_log_snr_alone_but_for_the_scale() -> None:
    x = points(2)
    scaled = Mixture.circle().flow(0.01 * x, (0.01, 0.8), (5.0, 1.0))
    torch.testing.assert_close(scaled, 5 * Mixture.circle().flow(x, NOISE, (1.0, 0.2)), rtol=0, atol=1e-10)


def test_spread_is_the_datas() -> None:
    g = torch.Generator().manual_seed(0)
    for oracle in (Gaussian.random(5), Mixture.circle()):
        x = oracle.sample(200000, g)
        assert oracle.spread == pytest.approx(x.var(0).mean().sqrt().item(), rel=0.01)
