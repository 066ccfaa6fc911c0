"""Schedules that change another one."""

from math import log, pi, sqrt

import pytest
import torch
from parts import every
from toys import Exact

from diffkit.compose.check import refuse_start
from diffkit.core.condition import Condition
from diffkit.core.errors import DiffkitError
from diffkit.core.model import DiffusionModel
from diffkit.core.prediction import Prediction
from diffkit.core.schedule import Schedule
from diffkit.standard.codecs.identity import Identity
from diffkit.standard.grids import Uniform
from diffkit.standard.predictions import Eps, V
from diffkit.standard.schedules import Cosine, Linear, ScaledLinear, Shifted, ZeroSnr
from diffkit.testing.oracle import Gaussian

T = torch.linspace(0, 1, 41, dtype=torch.float64)


def test_shifted_cosine_is_the_papers() -> None:
    """Hoogeboom et al. 2023: -2 log tan(pi t / 2) + 2 log(64 / d), for pictures of width d."""
    for width in (32, 128, 512):
        shifted = Shifted(Cosine(0.0), 2 * log(64 / width)).logsnr(T[1:-1])
        torch.testing.assert_close(shifted, -2 * (pi / 2 * T[1:-1]).tan().log() + 2 * log(64 / width))


@pytest.mark.parametrize("base", every("schedule"))
def test_shifted_moves_the_log_snr_and_preserves_variance(base: Schedule) -> None:
    shifted = Shifted(base, -3.0)
    torch.testing.assert_close(shifted.logsnr(T[1:-1]), base.logsnr(T[1:-1]) - 3)
    alpha, sigma = shifted(T)
    torch.testing.assert_close(alpha.square() + sigma.square(), torch.ones_like(T), rtol=1e-14, atol=0)


def test_shifts_add_up() -> None:
    twice, once = Shifted(Shifted(Linear(), 1.0), 2.0), Shifted(Linear(), 3.0)
    for wanted, got in zip(once(T), twice(T), strict=True):
        torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize("base", [Linear(), ScaledLinear()], ids=["linear", "scaled_linear"])
def test_zero_snr_is_the_papers_algorithm(base: Linear | ScaledLinear) -> None:
    """Lin et al. 2023, algorithm 1, on the square roots of alpha_bar of a chain; the start is alpha_0 = 1."""
    roots = [1.0]
    for i in range(1000):
        low, high = base.beta_min, base.beta_max
        if isinstance(base, ScaledLinear):
            beta = (sqrt(low) + (sqrt(high) - sqrt(low)) * i / 999) ** 2
        else:
            beta = low + (high - low) * i / 999
        roots.append(roots[-1] * sqrt(1 - beta))
    alpha, sigma = ZeroSnr(base)(torch.arange(1001, dtype=torch.float64) / 1000)
    for i in range(0, 1001, 50):
        wanted = (roots[i] - roots[-1]) * roots[0] / (roots[0] - roots[-1])
        assert alpha[i].item() == pytest.approx(wanted, abs=1e-13)
        assert sigma[i].item() ** 2 == pytest.approx(1 - wanted**2, abs=1e-13)
    assert (alpha[-1], sigma[-1]) == (0, 1)


def test_zero_snr_keeps_the_noises_digits_near_the_data() -> None:
    """1 - alpha grows by the factor 1 / (1 - alpha_1): of linear, beta_min / 2 a step without it."""
    t, end = 1e-15, Linear()(torch.ones(()).double())[0].item()
    sigma = ZeroSnr()(torch.tensor(t, dtype=torch.float64))[1].item()
    assert sigma**2 == pytest.approx(-2 * log(1 - 1e-4) / 2 * 1000 * t / (1 - end), rel=1e-9)


@pytest.mark.parametrize("base", every("schedule"))
def test_zero_snr_of_any_base_ends_without_signal(base: Schedule) -> None:
    alpha, sigma = ZeroSnr(base)(T)
    assert (alpha[-1].item(), sigma[-1].item()) == (0.0, 1.0)
    torch.testing.assert_close(alpha.square() + sigma.square(), torch.ones_like(T), rtol=1e-13, atol=0)


def test_zero_snr_of_a_base_that_has_it_is_the_base() -> None:
    for wanted, got in zip(Cosine()(T), ZeroSnr(Cosine())(T), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-15)


def exact(prediction: Prediction) -> DiffusionModel:
    return DiffusionModel(Exact(Gaussian.random(3), prediction), prediction, ZeroSnr(), [], Identity())


def test_a_prediction_of_the_noise_is_refused_where_no_signal_is_left() -> None:
    with pytest.raises(DiffkitError, match="prediction Eps does not suit the schedule ZeroSnr"):
        refuse_start(exact(Eps()), Uniform(logsnr_min=-20.0))
    refuse_start(exact(Eps()), Uniform())  # which starts with some signal
    refuse_start(exact(V()), Uniform(logsnr_min=-20.0))


def test_the_model_is_asked_no_further_than_the_limit() -> None:
    """At t = 1 the noise says nothing of the data; the answer is that of a log-SNR of -20, and finite."""
    x = torch.randn(4, 3, dtype=torch.float64)
    end, last = torch.ones((), dtype=torch.float64), torch.tensor(ZeroSnr().span()[1], dtype=torch.float64)
    model = exact(Eps())
    x_0 = model.denoise(x, end, Condition())
    assert torch.isfinite(x_0).all() and (x_0 == model.denoise(x, last, Condition())).all()
    torch.testing.assert_close(
        exact(V()).denoise(x, end, Condition()), Gaussian.random(3).mean.expand(4, 3), atol=1e-3, rtol=0
    )
