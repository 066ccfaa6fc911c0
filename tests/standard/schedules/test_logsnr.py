"""Schedules given by their log-SNR against the formulas in their papers."""

from math import exp, log

import pytest
import torch

from diffkit.core.errors import DiffkitError
from diffkit.standard.schedules import Laplace, Sigmoid


def logistic(z: float) -> float:
    return 1 / (1 + exp(-z))


@pytest.mark.parametrize("schedule", [Sigmoid(), Sigmoid(0.0, 3.0, 0.7), Sigmoid(-3.0, 3.0, 1.1)], ids=str)
def test_sigmoid_is_the_papers(schedule: Sigmoid) -> None:
    """gamma(t), the signal's variance: Jabri et al. 2022, appendix B, without the clipping."""
    t = torch.linspace(0, 1, 21, dtype=torch.float64)
    alpha, sigma = schedule(t)
    first, last = logistic(schedule.start / schedule.temperature), logistic(schedule.end / schedule.temperature)
    for i in range(21):
        z = (i / 20 * (schedule.end - schedule.start) + schedule.start) / schedule.temperature
        gamma = (last - logistic(z)) / (last - first)
        assert alpha[i].item() ** 2 == pytest.approx(gamma, abs=1e-14)
        assert sigma[i].item() ** 2 == pytest.approx(1 - gamma, abs=1e-14)
    assert (alpha[-1], sigma[-1]) == (0, 1)


def test_sigmoid_keeps_its_digits_at_both_ends() -> None:
    """By symmetry sigma at t is alpha at 1 - t; sigma^2 is S'(-3) * 6 / (S(3) - S(-3)) * t to first order."""
    t = 1e-13
    slope = 6 * logistic(3) * logistic(-3) / (logistic(3) - logistic(-3))
    assert Sigmoid()(torch.tensor(t).double())[1].item() ** 2 == pytest.approx(
        slope * float(torch.tensor(t)), rel=1e-10
    )
    late = 1 - 2.0**-40
    alpha = Sigmoid()(torch.tensor(late, dtype=torch.float64))[0].item()
    assert alpha**2 == pytest.approx(slope * 2.0**-40, rel=1e-10)


def test_sigmoid_needs_a_range() -> None:
    with pytest.raises(DiffkitError, match="end=1 must be above start=1; raise it"):
        Sigmoid(1.0, 1.0)


@pytest.mark.parametrize("schedule", [Laplace(), Laplace(1.5, 2.0), Laplace(-1.0, 0.3)], ids=str)
def test_laplace_is_the_distribution_of_its_log_snr(schedule: Laplace) -> None:
    """The log-SNR exceeds that of time t with probability t, by the Laplace distribution's own function."""
    for t in (1e-6, 0.01, 0.3, 0.5, 0.7, 0.99, 1 - 1e-6):
        z = (schedule.logsnr(torch.tensor(t, dtype=torch.float64)).item() - schedule.mean) / schedule.width
        below = 0.5 * exp(z) if z < 0 else 1 - 0.5 * exp(-z)
        above = 1 - 0.5 * exp(z) if z < 0 else 0.5 * exp(-z)
        assert above == pytest.approx((1 - 1e-9) * t, rel=1e-9)
        assert below == pytest.approx(1 - (1 - 1e-9) * t, rel=1e-9)


def test_laplace_ends_where_times_become_too_coarse() -> None:
    end = Laplace(1.0, 0.5).logsnr(torch.ones((), dtype=torch.float64)).item()
    assert end == pytest.approx(1 + 0.5 * log(2e-9), rel=1e-12)
