"""Chains against the product of their steps, with betas from the papers' formulas."""

import pytest
import torch
from torch import Tensor

from diffkit.core.errors import DiffkitError
from diffkit.core.schedule import Schedule
from diffkit.standard.schedules import Exponential, Linear, ScaledLinear, Tabulated


def times(n: int) -> Tensor:
    return torch.arange(n + 1, dtype=torch.float64) / n


BETAS = {
    Linear(): [1e-4 + (0.02 - 1e-4) * i / 999 for i in range(1000)],
    ScaledLinear(): [(0.00085**0.5 + (0.012**0.5 - 0.00085**0.5) * i / 999) ** 2 for i in range(1000)],
    ScaledLinear(1e-4, 0.02, 50): [(0.01 + (0.02**0.5 - 0.01) * i / 49) ** 2 for i in range(50)],
    Exponential(1e-4, 0.06, 200): [1e-4 * 600 ** (i / 199) for i in range(200)],
    Tabulated((0.1, 0.9, 0.5)): [0.1, 0.9, 0.5],
}


@pytest.mark.parametrize("schedule", BETAS, ids=lambda s: str(s)[:40])
def test_a_chain_is_the_product_of_its_steps(schedule: Schedule) -> None:
    """Composing x <- sqrt(1 - beta) x + sqrt(beta) eps gives alpha and sigma at every step."""
    betas = BETAS[schedule]
    alpha, sigma = schedule(times(len(betas)))
    mean, variance = 1.0, 0.0
    for i, beta in enumerate(betas):
        mean, variance = mean * (1 - beta) ** 0.5, variance * (1 - beta) + beta
        assert alpha[i + 1].item() == pytest.approx(mean, rel=1e-12)
        assert sigma[i + 1].item() ** 2 == pytest.approx(variance, rel=1e-12)


def test_linear_in_log_between_the_steps() -> None:
    alpha, _ = Linear(steps=4)(torch.tensor([0.25, 0.375, 0.5], dtype=torch.float64))
    assert alpha[1].item() == pytest.approx((alpha[0] * alpha[2]).sqrt().item(), rel=1e-14)


def test_a_table_of_equal_betas_is_an_exponential() -> None:
    """alpha_t = 2^(-8t), by default."""
    t = torch.linspace(0, 1, 57, dtype=torch.float64)
    torch.testing.assert_close(Tabulated()(t)[0], 2 ** (-8 * t))


def test_a_table_needs_betas() -> None:
    with pytest.raises(DiffkitError, match="betas is empty; give"):
        Tabulated(())


def test_a_table_in_a_config() -> None:
    from diffkit import compose
    from diffkit.compose.build import part

    cfg = compose(["schedule=tabulated", "schedule.betas=[0.1,0.9,0.5]"])
    assert part("schedule", cfg.schedule) == Tabulated((0.1, 0.9, 0.5))
    for wrong in ("[0.1,1]", "[0.1,0]", "[-0.1]", "0.1", "[a]"):
        with pytest.raises(DiffkitError, match=r"schedule\.betas.* must be a list, each of which is a finite number"):
            compose(["schedule=tabulated", f"schedule.betas={wrong}"])
    with pytest.raises(DiffkitError, match="betas is empty"):
        part("schedule", compose(["schedule=tabulated", "schedule.betas=[]"]).schedule)
