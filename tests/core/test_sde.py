"""The probability flow and the reverse SDEs of normal data, against what is known in closed form."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from parts import every
from scipy.integrate import solve_ivp
from torch import Tensor
from toys import Exact

from diffkit.core.condition import Condition
from diffkit.core.model import DiffusionModel
from diffkit.core.schedule import Schedule
from diffkit.core.sde import reverse_sde
from diffkit.standard.codecs.identity import Identity
from diffkit.standard.predictions import V
from diffkit.standard.schedules import Cosine, Edm, Flow, SubVp, Ve, Vp
from diffkit.testing.oracle import Gaussian

ORACLE = Gaussian.random(4)
PATHS = [Vp(), Ve(), Cosine(), Flow(), SubVp(), Edm()]


def score(schedule: Schedule) -> Callable[[Tensor, Tensor], Tensor]:
    def of(x_t: Tensor, t: Tensor) -> Tensor:
        alpha, sigma = (c.item() for c in schedule(t))
        return (alpha * ORACLE.x_0(x_t, alpha, sigma) - x_t) / sigma**2

    return of


def solve(slope: Callable[[Tensor, Tensor], Tensor], start: Tensor, first: float, last: float) -> Tensor:
    """dy/dt = slope(y, t) from `first` to `last`, to about 1e-8."""

    def of(t: float, y: np.ndarray) -> np.ndarray:
        return slope(torch.tensor(y).reshape(start.shape), torch.tensor(t, dtype=torch.float64)).flatten().numpy()

    solved = solve_ivp(of, (first, last), start.flatten().numpy(), method="DOP853", rtol=1e-8, atol=1e-10)
    assert solved.success
    return torch.tensor(solved.y[:, -1]).reshape(start.shape)


@pytest.mark.parametrize("schedule", PATHS, ids=str)
def test_the_probability_flow_is_the_exact_one(schedule: Schedule) -> None:
    first, last = schedule.time(torch.tensor([-5.0, 6.0])).tolist()
    start, end = (tuple(c.item() for c in schedule(torch.tensor(t).double())) for t in (first, last))
    x = (start[0] ** 2 + start[1] ** 2) ** 0.5 * torch.randn(3, 4, dtype=torch.float64)
    found = solve(lambda x, t: reverse_sde(schedule, score(schedule), x, t, 0.0)[0], x, first, last)
    wanted = ORACLE.flow(x, (start[0], start[1]), (end[0], end[1]))
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)
    assert reverse_sde(schedule, score(schedule), x, torch.tensor(0.5).double(), 0.0)[1] == 0


def linear_drift(schedule: Schedule, t: Tensor, eta: float) -> tuple[Tensor, Tensor, float]:
    """The matrix A and the vector b of a drift A x + b, and the diffusion."""
    rows = torch.cat([torch.zeros(1, 4), torch.eye(4)]).double()
    drift, diffusion = reverse_sde(schedule, score(schedule), rows, t, eta)
    return (drift[1:] - drift[0]).T, drift[0], diffusion


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0, 1.5])
@pytest.mark.parametrize("schedule", [Vp(), Ve(), Cosine(), Flow()], ids=str)
def test_any_amount_of_noise_has_the_marginals(schedule: Schedule, eta: float) -> None:
    """The moments of dx = (A x + b) dt + g dw as t falls: dm = A m + b, dC = A C + C A' - g^2."""
    first, last = schedule.time(torch.tensor([-2.0, 2.0])).tolist()

    def moments(t: float) -> Tensor:
        alpha, sigma = (c.item() for c in schedule(torch.tensor(t, dtype=torch.float64)))
        return torch.cat([alpha * ORACLE.mean[None], alpha**2 * ORACLE.covariance + sigma**2 * torch.eye(4)])

    def slope(both: Tensor, t: Tensor) -> Tensor:
        a, b, g = linear_drift(schedule, t, eta)
        mean, covariance = both[0], both[1:]
        return torch.cat([(a @ mean + b)[None], a @ covariance + covariance @ a.T - g**2 * torch.eye(4)])

    torch.testing.assert_close(solve(slope, moments(first), first, last), moments(last), rtol=0, atol=1e-6)


def test_eta_one_is_the_reverse_of_the_forward_sde() -> None:
    """Anderson 1982: the drift f x - g^2 score, and the forward diffusion."""
    t, x = torch.tensor(0.4, dtype=torch.float64), torch.randn(3, 4, dtype=torch.float64)
    f, g = (c.item() for c in Vp().sde(t))
    drift, diffusion = reverse_sde(Vp(), score(Vp()), x, t)
    torch.testing.assert_close(drift, f * x - g**2 * score(Vp())(x, t))
    assert diffusion == g


@pytest.mark.parametrize("schedule", every("schedule"))
def test_a_models_score_gives_the_oracles_views(schedule: Schedule) -> None:
    model = DiffusionModel(Exact(ORACLE, V()), V(), schedule, [], Identity())
    t, x = torch.tensor(0.45, dtype=torch.float64), torch.randn(3, 4, dtype=torch.float64)
    of_model, _ = reverse_sde(schedule, lambda x, t: model.score(x, t, Condition()), x, t, 0.7)
    wanted, _ = reverse_sde(schedule, score(schedule), x, t, 0.7)
    torch.testing.assert_close(of_model, wanted, rtol=1e-6, atol=1e-6 * wanted.abs().max().item())
