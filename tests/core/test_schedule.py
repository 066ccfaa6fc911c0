"""What every schedule has by itself: log-SNR and its inverse, the span that networks see, kernels and the SDE."""

from dataclasses import dataclass

import pytest
import torch
from parts import every
from torch import Tensor

from diffkit.core.schedule import Schedule
from diffkit.standard.schedules import Cosine, Edm, Flow, Linear, SubVp, Ve, Vp


@dataclass(frozen=True)
class Logistic(Schedule):
    """Variance-preserving, with log-SNR = k log((1 - t) / t): its inverse is known."""

    k: float

    def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
        logsnr = self.k * (torch.log1p(-t) - t.log())
        return torch.sigmoid(logsnr).sqrt(), torch.sigmoid(-logsnr).sqrt()


@pytest.mark.parametrize("k", [1.0, 2.0, 8.0])
def test_time_inverts_logsnr(k: float) -> None:
    logsnr = torch.linspace(-6, 20, 53, dtype=torch.float64)
    t = Logistic(k).time(logsnr)
    torch.testing.assert_close(t, torch.sigmoid(-logsnr / k), rtol=1e-9, atol=0)
    torch.testing.assert_close(Logistic(k).logsnr(t), logsnr)


def test_ends() -> None:
    assert Logistic(2.0).logsnr(torch.tensor([0.0, 1.0]).double()).tolist() == [float("inf"), float("-inf")]
    assert Logistic(2.0).span() == pytest.approx((4.5397868702434395e-05, 1 - 4.5397868702434395e-05), rel=1e-12)


def test_times_near_the_data_have_all_their_digits() -> None:
    logsnr = torch.tensor([100.0, 300.0, 700.0], dtype=torch.float64)
    torch.testing.assert_close(Logistic(4.0).time(logsnr), torch.sigmoid(-logsnr / 4), rtol=1e-12, atol=0)


BETAS = [1e-4 + (0.02 - 1e-4) * i / 999 for i in range(1000)]


def test_the_kernels_of_linear_are_its_chain() -> None:
    """A step of the chain is N(sqrt(1 - beta) x, beta); 1000 of them meet the closed form."""
    t = torch.arange(1001, dtype=torch.float64) / 1000
    scale, std = Linear().kernel(t[1:], t[:-1])
    betas = torch.tensor(BETAS, dtype=torch.float64)
    torch.testing.assert_close(scale, (1 - betas).sqrt(), rtol=1e-12, atol=0)
    torch.testing.assert_close(std.square(), betas, rtol=1e-9, atol=0)
    mean, variance = 1.0, 0.0
    for a, b in zip(scale.tolist(), std.tolist(), strict=True):
        mean, variance = mean * a, variance * a**2 + b**2
    product = (1 - betas).prod().item()
    assert mean == pytest.approx(product**0.5, rel=1e-12)
    assert variance == pytest.approx(1 - product, rel=1e-12)
    alpha, sigma = (c.item() for c in Linear()(t[-1]))
    assert (mean, variance) == (pytest.approx(alpha, rel=1e-12), pytest.approx(sigma**2, rel=1e-12))


@pytest.mark.parametrize("schedule", every("schedule"))
def test_a_step_from_the_data_is_the_path(schedule: Schedule) -> None:
    t = torch.linspace(0.01, 1, 34, dtype=torch.float64)
    for got, wanted in zip(schedule.kernel(t, torch.zeros_like(t)), schedule(t), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-15, atol=0)


@pytest.mark.parametrize("schedule", every("schedule"))
def test_two_steps_are_one(schedule: Schedule) -> None:
    """From r to s and from s to t: the factors multiply, the variances add, whatever the distances."""
    r, s, t = torch.tensor(
        [[1e-8, 0.1, 1], [0, 1e-6, 0.5], [0.2, 0.5, 0.7], [0.3, 0.301, 0.99], [0.5, 0.8, 1], [0.9, 0.99, 0.991]],
        dtype=torch.float64,
    ).T
    (later, spread_later), (earlier, spread_earlier) = schedule.kernel(t, s), schedule.kernel(s, r)
    scale, std = schedule.kernel(t, r)
    torch.testing.assert_close(later * earlier, scale, rtol=1e-13, atol=0)
    variance = (later * spread_earlier).square() + spread_later.square()
    torch.testing.assert_close(variance, std.square(), rtol=1e-12, atol=0)


INNER = torch.tensor([0.0105, 0.1235, 0.3505, 0.5015, 0.7415, 0.9515], dtype=torch.float64)
"""Times within steps of a chain, whose SDE has a rate of its own in each."""


@pytest.mark.parametrize("schedule", every("schedule"))
def test_the_sde_is_the_limit_of_short_kernels(schedule: Schedule) -> None:
    """scale = 1 + f h + O(h^2) and std^2 = g^2 h + O(h^2)."""
    h = 1e-6
    f, g = schedule.sde(INNER)
    scale, std = schedule.kernel(INNER + h / 2, INNER - h / 2)
    torch.testing.assert_close((scale - 1) / h, f, rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(std.square() / h, g.square(), rtol=1e-4, atol=0)


def beta(t: Tensor) -> Tensor:
    return 0.1 + 19.9 * t


def integral(t: Tensor) -> Tensor:
    return 0.1 * t + 19.9 * t.square() / 2


HALF_PI = torch.pi / 2
TEXTBOOK = {
    Vp(): lambda t: (-beta(t) / 2, beta(t)),
    SubVp(): lambda t: (-beta(t) / 2, beta(t) * (1 - (-2 * integral(t)).exp())),
    Ve(0.02, 30.0): lambda t: (0 * t, (0.02 * 1500**t).square() * 2 * torch.tensor(1500.0).double().log()),
    Edm(80.0): lambda t: (0 * t, 2 * 80**2 * t),
    Flow(): lambda t: (-1 / (1 - t), 2 * t / (1 - t)),
    Cosine(0.0): lambda t: (-HALF_PI * (HALF_PI * t).tan(), 2 * HALF_PI * (HALF_PI * t).tan()),
}
"""f and g^2: Song et al. 2021, equations 30 to 33; for EDM and the flow, from d(sigma^2)/dt - 2 f sigma^2."""


@pytest.mark.parametrize("schedule", TEXTBOOK, ids=str)
def test_the_sde_is_the_textbooks(schedule: Schedule) -> None:
    f, g = schedule.sde(INNER)
    drift, square = TEXTBOOK[schedule](INNER)
    torch.testing.assert_close(f, drift, rtol=1e-11, atol=1e-14)
    torch.testing.assert_close(g.square(), square, rtol=1e-11, atol=0)


def test_the_sde_of_linear_takes_the_steps_betas_at_their_rates() -> None:
    """Within step i, alpha falls exponentially by the factor sqrt(1 - beta_i) per step."""
    f, _ = Linear().sde((torch.arange(1000, dtype=torch.float64) + 0.5) / 1000)
    rates = torch.log1p(-torch.tensor(BETAS, dtype=torch.float64)) / 2 * 1000
    torch.testing.assert_close(f, rates, rtol=1e-10, atol=0)


def test_the_sde_needs_no_gradients_to_be_on() -> None:
    with torch.inference_mode():  # which fills the table of this very chain, too
        again = Linear(steps=77).sde(INNER.clone())
    f, g = Linear(steps=77).sde(INNER)
    assert (again[0] == f).all() and (again[1] == g).all() and not f.requires_grad
