"""Classifier guidance with the exact classifier of a mixture."""

import pytest
import torch
from standard.guidance.linear import GRID, QUARTER, STEPS, price
from torch import Tensor

from diffkit.core.classifier import NoisyClassifier
from diffkit.core.condition import Condition
from diffkit.core.data import DataSpec
from diffkit.core.errors import DiffkitError
from diffkit.core.guidance import Branches, guide, told
from diffkit.core.sampler import drive, prior
from diffkit.standard.grids.levels import LogSnr
from diffkit.standard.guidance.cfg import Cfg
from diffkit.standard.guidance.classifier import ClassifierGuidance
from diffkit.standard.samplers.dpmpp_2m import DpmPp2M
from diffkit.testing import Mixture

MEANS = torch.tensor([[1.3, 0.2], [-0.4, 0.9], [0.1, -1.2], [-1.0, -0.5]], dtype=torch.float64)
CLASS = torch.tensor([0, 0, 1, 1])
VARIANCE = 0.09
ALL, FIRST = Mixture(MEANS, VARIANCE), Mixture(MEANS[CLASS == 0], VARIANCE)


class Exact(NoisyClassifier):
    """p(class | x_t) of the mixture, which is known."""

    def __init__(self) -> None:
        torch.nn.Module.__init__(self)

    def log_prob(self, x_t: Tensor, alpha: Tensor, sigma: Tensor, label: Tensor) -> Tensor:
        spread = alpha**2 * VARIANCE + sigma**2
        logs = -(x_t[:, None] - alpha * MEANS).square().sum(-1) / (2 * spread)
        own = torch.where(label[:, None] == CLASS, logs, -torch.inf)
        return own.logsumexp(1) - logs.logsumexp(1)


def exact(scale: float) -> ClassifierGuidance:
    return ClassifierGuidance("exact", lambda run, spec: Exact(), DataSpec((2,)), scale, ramp=())


def answer(mixture: Mixture, x_t: Tensor, t: Tensor) -> Tensor:
    alpha, sigma = (float(v) for v in QUARTER(t))
    return mixture.x_0(x_t, alpha, sigma)


def branches(rows: int) -> Branches:
    return Branches(lambda x, t, c: answer(ALL, x, t), Condition(), QUARTER, {"label": torch.zeros(rows).long()})


def test_an_unconditional_model_guided_by_2_samples_the_exact_posterior() -> None:
    """Its mean and covariance within 4 standard errors of 10,000 samples."""
    rows, grid = 10_000, LogSnr(steps=50, logsnr_min=-9.0, logsnr_max=9.0)
    x = torch.randn(rows, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    x = prior(QUARTER, grid(QUARTER), x)
    denoise = told(guide([exact(2.0)], branches(rows)), Condition())
    for state in drive(DpmPp2M(), denoise, QUARTER, x, grid(QUARTER), torch.zeros_like):
        x = state.x
    centre = FIRST.means.mean(0)
    spread = (FIRST.means - centre).T @ (FIRST.means - centre) / 2 + VARIANCE * torch.eye(2)
    errors = (x.mean(0) - centre).abs() / (spread.diag() / rows).sqrt()
    assert errors.max() < 4
    variances = torch.outer(spread.diag(), spread.diag()) + spread.square()
    assert ((torch.cov(x.T) - spread).abs() / (variances / rows).sqrt()).max() < 4


@pytest.mark.parametrize("t", [0.05, 0.5, 0.95])
def test_it_is_classifier_free_guidance_of_the_same_scale(t: float) -> None:
    """On a conditional model, whose own classifier this is: Bayes' rule."""
    x_t, time = torch.randn(7, 2, dtype=torch.float64), torch.tensor(t, dtype=torch.float64)
    condition, null = Condition(torch.zeros(7, 1)), Condition(torch.ones(7, 1))

    def model(x: Tensor, t: Tensor, c: Condition) -> Tensor:
        assert c.vector is not None
        return torch.where(c.vector == 0, answer(FIRST, x, t), answer(ALL, x, t))

    columns = {"label": torch.zeros(7).long()}
    free, by_gradient = (
        guide([g], Branches(model, null, QUARTER, columns))(x_t, time, condition) for g in (Cfg(3.5), exact(3.5))
    )
    torch.testing.assert_close(free, by_gradient, rtol=1e-9, atol=1e-9)


def test_scale_1_is_off_and_a_ramp_saves_the_passes() -> None:
    assert price(exact(1.0)).others == {}
    assert price(exact(2.0)).others == {"classifier": STEPS}
    limited = ClassifierGuidance("exact", lambda run, spec: Exact(), DataSpec((2,)), 2.0, ((-1.0, 0.0), (0.0, 1.0)))
    assert price(limited).others["classifier"] == sum(QUARTER.logsnr(GRID(QUARTER)[:-1]) > -1)


def test_a_run_of_another_kind_is_refused() -> None:
    with pytest.raises(DiffkitError, match="run=unet is no classifier"):
        ClassifierGuidance("unet", lambda run, spec: torch.nn.Linear(1, 1), DataSpec((2,)))
