"""Conversions between what networks answer."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from diffkit.compose.build import create
from diffkit.compose.registry import registry
from diffkit.core.prediction import convert
from diffkit.standard.predictions import X0, Eps, Score, V
from diffkit.testing.contracts.prediction import levels
from diffkit.testing.oracle import Gaussian

NAMES = registry().names("prediction")

# what each is, of the data, the noise, and (alpha, sigma)
TEXTBOOK: dict[str, Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]] = {
    "eps": lambda x, e, a, s: e,
    "x0": lambda x, e, a, s: x,
    "v": lambda x, e, a, s: (a * e - s * x) / (a**2 + s**2).sqrt(),
    "flow": lambda x, e, a, s: e - x,
    "edm": lambda x, e, a, s: (s * x - a * e) / (a**2 + s**2).sqrt(),
    "score": lambda x, e, a, s: s * (-(a * x + s * e - a * x) / s**2),
}


def rows(scale: float = 1.0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Data and noise (b, 3), and alpha and sigma (b,) over the whole range of log-SNR."""
    _, alpha, sigma = levels(161)
    g = torch.Generator().manual_seed(0)
    x_0, eps = (torch.randn(161, 3, generator=g, dtype=torch.float64) for _ in range(2))
    return x_0, eps, scale * alpha, scale * sigma


@pytest.mark.parametrize("target", NAMES)
@pytest.mark.parametrize("source", NAMES)
def test_there_and_back(source: str, target: str) -> None:
    """To 1e-10 at any log-SNR from -20 to 20: the conditioning takes at most e^10 of float64's 1e-16."""
    x_0, eps, alpha, sigma = rows()
    here, there = create("prediction", source), create("prediction", target)
    x_t, a, s = alpha[:, None] * x_0 + sigma[:, None] * eps, alpha[:, None], sigma[:, None]
    output = TEXTBOOK[source](x_0, eps, a, s)
    answer = convert(output, x_t, alpha, sigma, here, there)
    torch.testing.assert_close(answer, TEXTBOOK[target](x_0, eps, a, s), rtol=0, atol=1e-10)
    torch.testing.assert_close(convert(answer, x_t, alpha, sigma, there, here), output, rtol=0, atol=1e-10)


@pytest.mark.parametrize("target", NAMES)
@pytest.mark.parametrize("source", NAMES)
def test_the_scale_of_the_path_does_not_matter(source: str, target: str) -> None:
    x_0, _, alpha, sigma = rows()
    parts = create("prediction", source), create("prediction", target)
    plain = convert(x_0, x_0, alpha, sigma, *parts)
    for k in (0.01, 80.0):
        scaled = convert(x_0, k * x_0, k * alpha, k * sigma, *parts)
        torch.testing.assert_close(scaled, plain, rtol=1e-9, atol=1e-9)


def test_one_level_for_all_rows_in_float32() -> None:
    alpha, sigma = torch.tensor(0.6, dtype=torch.float64), torch.tensor(0.8, dtype=torch.float64)
    x_0, eps = torch.randn(4, 2, 2), torch.randn(4, 2, 2)
    got = convert(0.6 * eps - 0.8 * x_0, 0.6 * x_0 + 0.8 * eps, alpha, sigma, V(), X0())
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, x_0)


@pytest.mark.parametrize(("alpha", "sigma"), [(1.0, 0.3), (0.6, 0.8), (0.02, 0.99), (1.0, 40.0)])
def test_the_score_is_the_gradient_of_the_log_density(alpha: float, sigma: float) -> None:
    """From the exact x_0 of normal data, and as converted from the exact eps; F over sigma is the score."""
    data = Gaussian.random(6)
    x_t = torch.randn(5, 6, dtype=torch.float64, requires_grad=True)
    (wanted,) = torch.autograd.grad(data.log_density(x_t, alpha, sigma).sum(), x_t)
    x_t, a, s = x_t.detach(), *(torch.tensor(c, dtype=torch.float64) for c in (alpha, sigma))
    x_0 = data.x_0(x_t, alpha, sigma)
    torch.testing.assert_close(convert(x_0, x_t, a, s, X0(), Score()) / sigma, wanted, rtol=1e-9, atol=1e-9)
    eps = (x_t - alpha * x_0) / sigma
    torch.testing.assert_close(convert(eps, x_t, a, s, Eps(), Score()) / sigma, wanted, rtol=1e-9, atol=1e-9)
