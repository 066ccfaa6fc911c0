"""Continuous schedules against the formulas in their papers."""

from math import cos, exp, pi

import pytest
import torch
from torch import Tensor

from diffkit.core.errors import DiffkitError
from diffkit.standard.schedules import Cosine, Edm, Flow, Linear, SubVp, Ve, Vp


def times(n: int) -> Tensor:
    return torch.arange(n + 1, dtype=torch.float64) / n


def test_cosine_is_the_papers() -> None:
    def f(t: float) -> float:
        return cos((t + 0.008) / 1.008 * pi / 2) ** 2

    alpha, sigma = Cosine()(times(20))
    for i in range(21):
        assert alpha[i].item() ** 2 == pytest.approx(f(i / 20) / f(0), abs=1e-14)
        assert (alpha[i] ** 2 + sigma[i] ** 2).item() == pytest.approx(1, abs=1e-14)
    assert alpha[-1] == 0


def test_cosine_keeps_its_digits_near_the_data() -> None:
    """sigma^2 is (pi/2)/(1+o) * tan(theta_0) * 2t to first order, which 1 - alpha^2 in float64 would lose."""
    t, slope = 1e-14, pi / 1.008 * torch.tan(torch.tensor(0.008 / 1.008 * pi / 2, dtype=torch.float64)).item()
    assert Cosine()(torch.tensor(t, dtype=torch.float64))[1].item() ** 2 == pytest.approx(slope * t, rel=1e-9)


@pytest.mark.parametrize("t", [1e-3, 0.1, 0.5, 1.0])
def test_vp_and_sub_vp_are_the_papers(t: float) -> None:
    """Song et al. 2021, equation 33: the mean's factor of both, and their variances."""
    log_mean = -(t**2) * (20 - 0.1) / 4 - t * 0.1 / 2
    time = torch.tensor(t, dtype=torch.float64)
    for schedule, power in ((Vp(), 1), (SubVp(), 2)):
        alpha, sigma = (c.item() for c in schedule(time))
        assert alpha == pytest.approx(exp(log_mean), rel=1e-13)
        assert sigma**2 == pytest.approx((1 - exp(2 * log_mean)) ** power, rel=1e-11)


def test_vp_is_the_limit_of_the_linear_chain() -> None:
    """Of N steps with betas of 0.1 / N to 20 / N; the error falls as 1 / N."""
    t = times(10)
    errors = [(Linear(0.1 / n, 20 / n, n)(t)[0] - Vp()(t)[0]).abs().max().item() for n in (1000, 10_000)]
    assert errors[1] < 1e-3 and errors[0] / errors[1] == pytest.approx(10, rel=0.05)


@pytest.mark.parametrize("schedule", [Vp(), SubVp(), Ve()], ids=str)
def test_the_noise_keeps_its_digits_near_the_data(schedule: Vp | SubVp | Ve) -> None:
    """To first order in t, where 1 - exp(-t) in float64 has no digit left."""
    t = 1e-15
    wanted = {
        Vp(): (0.1 * t) ** 0.5,
        SubVp(): 0.1 * t,
        Ve(): 0.01 * (2 * t * 8.517193191416238) ** 0.5,  # log(50 / 0.01)
    }
    assert schedule(torch.tensor(t, dtype=torch.float64))[1].item() == pytest.approx(wanted[schedule], rel=1e-12)


def test_ve_is_the_papers_less_the_noise_it_starts_with() -> None:
    t = times(10)
    alpha, sigma = Ve(0.02, 30.0)(t)
    assert (alpha == 1).all() and sigma[0] == 0
    torch.testing.assert_close(sigma.square() + 0.02**2, (0.02 * (30 / 0.02) ** t).square(), rtol=1e-12, atol=0)


def test_ve_needs_a_range() -> None:
    with pytest.raises(DiffkitError, match="sigma_max=1 must be above sigma_min=2; raise it"):
        Ve(2.0, 1.0)


def test_flow_shift_multiplies_the_noise_to_signal_ratio() -> None:
    t = times(10)[1:-1]
    (alpha, sigma), (of_alpha, of_sigma) = Flow()(t), Flow(3.0)(t)
    torch.testing.assert_close(of_sigma / of_alpha, 3 * sigma / alpha)
    torch.testing.assert_close(of_sigma + of_alpha, torch.ones_like(t))
    torch.testing.assert_close(sigma, t)


def test_edm_is_noise_added_to_the_data() -> None:
    alpha, sigma = Edm(80.0)(times(10))
    assert (alpha == 1).all()
    torch.testing.assert_close(sigma, 80 * times(10))
