"""Classifier-free guidance."""

import pytest
import torch
from torch import Tensor

from diffkit.core.condition import Condition
from diffkit.core.guidance import Branches, Guidance, guide
from diffkit.standard.guidance.apg import Apg
from diffkit.standard.guidance.cfg import Cfg
from diffkit.standard.guidance.interval import Interval
from diffkit.standard.guidance.rescale import Rescale
from diffkit.testing import check_guidance
from diffkit.testing.contracts.walk import Quarter

T = torch.tensor(0.3, dtype=torch.float64)


@pytest.mark.parametrize("guidance", [Cfg(0.0), Cfg(7.5), Interval(), Rescale(), Apg()], ids=repr)
def test_contract(guidance: Guidance) -> None:
    check_guidance(guidance)


def posterior(x_t: Tensor, mean: Tensor, alpha: float, sigma: float) -> Tensor:
    """x_0 of data normal around `mean` with unit variance."""
    return mean + alpha / (alpha**2 + sigma**2) * (x_t - alpha * mean)


def test_guided_gaussian_is_the_exact_posterior() -> None:
    """For normal data of one variance, guidance by w is the exact denoiser of data around null + w (mean - null)."""
    alpha, sigma, w = 0.8, 0.6, 3.0

    def model(x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        assert condition.vector is not None
        return posterior(x_t, condition.vector, alpha, sigma)

    told, null, x_t = torch.randn(4, 2), torch.randn(4, 2), torch.randn(4, 2)
    guided = guide([Cfg(w)], Branches(model, Condition(vector=null), Quarter()))(x_t, T, Condition(vector=told))
    torch.testing.assert_close(guided, posterior(x_t, null + w * (told - null), alpha, sigma))


def test_guidance_in_x_0_is_guidance_in_eps() -> None:
    alpha, sigma, w = 0.8, 0.6, 4.0
    x_t, told, null = torch.randn(3, 4, 2).unbind()
    x_0 = Cfg(w)(lambda x, t, c: told, _Two(told, null))(x_t, T, Condition())
    eps_told, eps_null = (x_t - alpha * told) / sigma, (x_t - alpha * null) / sigma
    eps = eps_null + w * (eps_told - eps_null)
    torch.testing.assert_close(x_0, (x_t - sigma * eps) / alpha)


def test_scale_0_is_the_null_and_1_the_denoiser_itself() -> None:
    told, null = torch.randn(2, 4, 2).unbind()
    branches = _Two(told, null)
    torch.testing.assert_close(Cfg(0.0)(branches, branches)(told, T, Condition()), null)
    assert Cfg(1.0)(branches, branches) is branches


class _Two(Branches):
    """Fixed answers."""

    def __init__(self, told: Tensor, null: Tensor) -> None:
        super().__init__(lambda x, t, c: told, Condition(), Quarter())
        self.answers = told, null

    def both(self, x_t: Tensor, t: Tensor, condition: Condition) -> tuple[Tensor, Tensor]:
        return self.answers
