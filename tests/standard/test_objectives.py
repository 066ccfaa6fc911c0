"""Densities and weightings against their contracts, and against the distributions and losses in their papers."""

import pytest
import torch
from parts import SCHEDULES, every
from torch import Tensor

from diffkit.core.objective import TimeDensity, Weighting
from diffkit.core.schedule import Schedule
from diffkit.standard.objectives import EdmDensity, LogitNormal, MinSnr, UniformDensity
from diffkit.standard.predictions import X0, Eps, V
from diffkit.standard.schedules import Cosine, Edm, Flow
from diffkit.testing.contracts import check_density, check_weighting
from diffkit.testing.contracts.path import levels


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
@pytest.mark.parametrize("density", every("density"))
def test_density_contract(density: TimeDensity, schedule: Schedule) -> None:
    check_density(density, schedule)


@pytest.mark.parametrize("weighting", every("weighting"))
def test_weighting_contract(weighting: Weighting) -> None:
    check_weighting(weighting)


def quantiles() -> Tensor:
    return torch.linspace(0.0005, 0.9995, 1000, dtype=torch.float64)


def test_uniform() -> None:
    assert (UniformDensity()(Cosine(), quantiles()) == quantiles()).all()


def test_logit_normal() -> None:
    t = LogitNormal(0.5, 1.5)(Flow(), quantiles())
    torch.testing.assert_close(torch.special.ndtr((t.logit() - 0.5) / 1.5), quantiles())


@pytest.mark.parametrize("schedule", [Cosine(), Flow(), Flow(3.0), Edm(1e4)], ids=str)
def test_edm_density_is_log_normal_in_the_noise_level_on_any_schedule(schedule: Schedule) -> None:
    t = EdmDensity(-0.4, 1.0)(schedule, quantiles())
    level = -schedule.logsnr(t) / 2
    torch.testing.assert_close(torch.special.ndtr(level + 0.4), quantiles(), rtol=0, atol=1e-5)


def test_edm_density_stays_on_a_schedule_that_ends_early() -> None:
    t = EdmDensity(3.0, 1.0)(Edm(2.0), quantiles())
    assert t.max() == 1
    assert (t == 1).double().mean().item() == pytest.approx(0.99, abs=0.01)


@pytest.mark.parametrize("prediction", [Eps(), X0(), V()], ids=str)
def test_min_snr_is_the_papers(prediction: Eps | X0 | V) -> None:
    logsnr, alpha, sigma = levels()
    snr = (alpha / sigma) ** 2
    wanted = {
        Eps(): torch.minimum(5 / snr, torch.ones_like(snr)),
        X0(): snr.clamp(max=5),
        V(): snr.clamp(max=5) / (snr + 1),
    }
    w = MinSnr(5.0)(logsnr, prediction(alpha, sigma)[1])
    torch.testing.assert_close(w, wanted[prediction])
