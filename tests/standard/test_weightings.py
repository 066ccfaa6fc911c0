"""Weightings against their contract, and against the losses in their papers, for every prediction."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from parts import every
from torch import Tensor

from diffkit.compose.build import create
from diffkit.compose.registry import registry
from diffkit.core.objective import Weighting
from diffkit.core.prediction import Prediction
from diffkit.core.schedule import Schedule
from diffkit.standard.predictions import Edm as EdmPrediction
from diffkit.standard.schedules import Cosine, Edm, Flow, Linear, Vp
from diffkit.standard.weightings import (
    P2,
    EdmWeighting,
    MinSnr,
    Sigmoid,
    Snr,
    SnrPlusOne,
    SoftMinSnr,
    TruncatedSnr,
    Uncertainty,
    Unit,
    Vlb,
)
from diffkit.testing import check_weighting
from diffkit.testing.contracts.prediction import levels


@pytest.mark.parametrize("weighting", every("weighting", schedule=Cosine()))
def test_contract(weighting: Weighting) -> None:
    check_weighting(weighting)


class Errors:
    """The squared errors of all that a network may be asked for, of one wrong x_0 and each as its paper has it."""

    def __init__(self, logsnr: Tensor, alpha: Tensor, sigma: Tensor) -> None:
        g = torch.Generator().manual_seed(0)
        x_0, guess, eps = (torch.randn(len(alpha), generator=g, dtype=torch.float64) for _ in range(3))
        x_t = alpha * x_0 + sigma * eps
        eps_hat = eps + alpha * (x_0 - guess) / sigma  # (x_t - alpha guess) / sigma, to all digits
        self.x_0, self.eps = (x_0 - guess) ** 2, (eps - eps_hat) ** 2
        self.v = ((alpha * eps - sigma * x_0) - (alpha * eps_hat - sigma * guess)) ** 2
        self.u = ((eps - x_0) - (eps_hat - guess)) ** 2
        self.snr, self.level, self.x_t = (alpha / sigma) ** 2, sigma / alpha, x_t
        self.logsnr, self.alpha, self.sigma = logsnr, alpha, sigma

    def of(self, prediction: Prediction) -> Tensor:
        """The error of the network's output F, by its definition F = (x_0 - c_skip x_t) / c_out."""
        return self.x_0 / prediction(self.alpha, self.sigma)[1] ** 2


ERRORS = Errors(*levels())
PREDICTIONS = every("prediction")

# the loss of each paper, in its own terms
PUBLISHED: dict[Weighting, Callable[[Errors], Tensor]] = {
    Snr(): lambda e: e.eps,
    TruncatedSnr(): lambda e: torch.maximum(e.x_0, e.eps),
    SnrPlusOne(): lambda e: e.v,
    MinSnr(5.0): lambda e: torch.minimum(e.snr, torch.tensor(5.0)) / (e.snr + 1) * e.v,
    SoftMinSnr(4.0): lambda e: e.x_0 / (e.level**2 + 1 / 4.0),
    P2(0.5, 2.0): lambda e: e.eps / (2.0 + e.snr) ** 0.5,
    EdmWeighting(0.5): lambda e: (e.level**2 + 0.5**2) / (e.level * 0.5) ** 2 * e.x_0,
}


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("weighting", PUBLISHED, ids=str)
def test_the_weighted_error_of_f_is_the_published_loss(weighting: Weighting, prediction: Prediction) -> None:
    got = weighting(ERRORS.logsnr, prediction(ERRORS.alpha, ERRORS.sigma)[1]) * ERRORS.of(prediction)
    wanted = PUBLISHED[weighting](ERRORS)
    torch.testing.assert_close(got / wanted, torch.ones_like(wanted), rtol=1e-6, atol=0)


OWN: dict[str, Callable[[Errors], Tensor]] = {
    "eps": lambda e: e.eps,
    "score": lambda e: e.eps,
    "x0": lambda e: e.x_0,
    "v": lambda e: e.v,
    "flow": lambda e: e.u,
    "edm": lambda e: (e.level**2 + 1) / e.level**2 * e.x_0,
}


@pytest.mark.parametrize("name", registry().names("prediction"))
def test_unit_is_the_loss_that_belongs_to_the_prediction(name: str) -> None:
    """u is that of a straight path, where alpha + sigma = 1: elsewhere it is not a path's velocity."""
    logsnr, alpha, sigma = levels()
    errors = Errors(logsnr, alpha / (alpha + sigma), sigma / (alpha + sigma)) if name == "flow" else ERRORS
    prediction = create("prediction", name)
    got = Unit()(logsnr, prediction(alpha, sigma)[1]) * errors.of(prediction)
    torch.testing.assert_close(got / OWN[name](errors), torch.ones_like(got), rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", registry().names("prediction"))
def test_min_snr_is_the_papers_factor_on_each_output(name: str) -> None:
    """Where peers went wrong: min(SNR, g) / SNR for eps, min(SNR, g) for x_0, min(SNR, g) / (SNR + 1) for v."""
    snr, prediction = ERRORS.snr, create("prediction", name)
    least = snr.clamp(max=5)
    straight = (1 + snr.sqrt()).square()  # (alpha + sigma)^2 / sigma^2
    factor = {"eps": snr, "score": snr, "x0": snr**0, "v": snr + 1, "edm": snr + 1, "flow": straight}[name]
    w = MinSnr(5.0)(ERRORS.logsnr, prediction(ERRORS.alpha, ERRORS.sigma)[1])
    torch.testing.assert_close(w * factor / least, torch.ones_like(w))


def test_edm_leaves_edms_prediction_as_it_is() -> None:
    for d in (0.5, 1.0):
        w = EdmWeighting(d)(ERRORS.logsnr, EdmPrediction(d)(ERRORS.alpha, ERRORS.sigma)[1])
        torch.testing.assert_close(w, torch.ones_like(w))


def on(schedule: Schedule) -> tuple[Errors, Tensor]:
    """Errors at times of the path, and the rate at which its log-SNR falls there, by automatic differentiation."""
    t = torch.linspace(0.003, 0.997, 200, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(schedule.logsnr(t).sum(), t)
    alpha, sigma = (c.detach() for c in schedule(t))
    return Errors(schedule.logsnr(t).detach(), alpha, sigma), -slope


@pytest.mark.parametrize("schedule", [Vp(), Cosine(), Flow(), Flow(3.0), Edm()], ids=str)
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_the_variational_bound(prediction: Prediction, schedule: Schedule) -> None:
    errors, rate = on(schedule)
    for weighting, factor in ((Vlb(schedule), 1), (Sigmoid(schedule, -1.0), torch.sigmoid(-1 - errors.logsnr))):
        got = weighting(errors.logsnr, prediction(errors.alpha, errors.sigma)[1]) * errors.of(prediction)
        wanted = rate / 2 * factor * errors.eps
        torch.testing.assert_close(got / wanted, torch.ones_like(got), rtol=2e-4, atol=0)


def test_the_sigmoid_objective_is_the_same_on_any_schedule() -> None:
    """For uniform times, an integral over log-SNR in which the path is gone."""
    objectives = []
    for schedule in (Cosine(), Flow(), Edm(), Linear()):
        t = (torch.arange(20000, dtype=torch.float64) + 0.5) / 20000
        logsnr = schedule.logsnr(t)
        c_out = -torch.ones_like(t)
        bump = torch.exp(-(logsnr**2) / 8)  # some error of x_0
        objectives.append((Sigmoid(schedule, 1.0)(logsnr, c_out) * bump).mean().item())
    assert objectives == pytest.approx([objectives[0]] * 4, rel=1e-3)


def test_the_learned_weighting_finds_the_expected_error() -> None:
    """u goes to the logarithm of the mean error at each noise level, with the optimizer of a training run."""
    weighting = Uncertainty(24)
    assert (weighting(ERRORS.logsnr, ERRORS.logsnr) == 1).all()
    assert (weighting.penalty(ERRORS.logsnr) == 0).all()
    optimizer = torch.optim.Adam(weighting.parameters(), lr=0.02, betas=(0.9, 0.99))
    g = torch.Generator().manual_seed(0)

    def expected(logsnr: Tensor) -> Tensor:
        return 2.0 * torch.exp(-0.5 * (logsnr / 10).sin() - logsnr / 10)

    for step in range(600):
        logsnr = 40 * torch.rand(256, generator=g, dtype=torch.float64) - 20
        error = expected(logsnr) * 2 * torch.rand(256, generator=g, dtype=torch.float64)
        loss = weighting(logsnr, logsnr) * error + weighting.penalty(logsnr)
        optimizer.param_groups[0]["lr"] = 0.02 * (1 - step / 600)
        optimizer.zero_grad()
        loss.mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    found: Any = weighting.penalty(ERRORS.logsnr).detach().double()
    assert (found - expected(ERRORS.logsnr).log()).abs().max() < 0.15
    torch.testing.assert_close(weighting(ERRORS.logsnr, ERRORS.logsnr).detach().double(), (-found).exp())
