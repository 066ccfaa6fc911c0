"""Schedules against their contract, and against the formulas in their papers."""

from math import cos, pi

import pytest
import torch
from parts import every
from torch import Tensor

from diffkit.core.schedule import Schedule
from diffkit.standard.schedules import Cosine, Edm, Flow, Linear
from diffkit.testing.contracts import check_schedule

OTHERS = [Linear(steps=10), Linear(1e-5, 0.5, 7), Cosine(0.0), Cosine(0.1), Flow(3.0), Flow(0.3), Edm(1e5), Edm(2.0)]


@pytest.mark.parametrize("schedule", [*every("schedule"), *OTHERS])
def test_contract(schedule: Schedule) -> None:
    check_schedule(schedule)


def times(n: int) -> Tensor:
    return torch.arange(n + 1, dtype=torch.float64) / n


def test_linear_is_the_chain_of_its_one_step_kernels() -> None:
    """Composing x <- sqrt(1 - beta) x + sqrt(beta) eps 1000 times gives alpha and sigma at every step."""
    alpha, sigma = Linear()(times(1000))
    mean, variance = 1.0, 0.0
    for i in range(1000):
        beta = 1e-4 + (0.02 - 1e-4) * i / 999
        mean, variance = mean * (1 - beta) ** 0.5, variance * (1 - beta) + beta
        assert alpha[i + 1].item() == pytest.approx(mean, rel=1e-12)
        assert sigma[i + 1].item() ** 2 == pytest.approx(variance, rel=1e-12)


def test_linear_in_log_between_the_steps() -> None:
    alpha, _ = Linear(steps=4)(torch.tensor([0.25, 0.375, 0.5], dtype=torch.float64))
    assert alpha[1].item() == pytest.approx((alpha[0] * alpha[2]).sqrt().item(), rel=1e-14)


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


@pytest.mark.parametrize("schedule", [*every("schedule"), *OTHERS])
def test_time_beyond_the_ends_is_the_end(schedule: Schedule) -> None:
    first, last = schedule.time(torch.tensor([200.0, -200.0])).tolist()
    assert first < 1e-12
    assert last == pytest.approx(1.0, abs=1e-15)


@pytest.mark.parametrize("schedule", [*every("schedule"), *OTHERS])
def test_span_is_where_the_network_is_asked(schedule: Schedule) -> None:
    first, last = schedule.span()
    logsnr = schedule.logsnr(torch.tensor([first, last], dtype=torch.float64))
    assert logsnr[0].item() == pytest.approx(20, abs=1e-6)
    assert logsnr[1].item() == pytest.approx(max(-20, schedule.logsnr(torch.ones(()).double()).item()), abs=1e-6)
