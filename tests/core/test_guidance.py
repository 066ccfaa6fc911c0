"""Guidance: branches that share one pass, and lists."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from diffkit.core.condition import Condition
from diffkit.core.cost import Cost, cost
from diffkit.core.guidance import Branches, Denoise, Guidance, guide, told
from diffkit.core.variance import WithVariance
from diffkit.standard.guidance.cfg import Cfg
from diffkit.standard.samplers.dpmpp_2m import DpmPp2M
from diffkit.testing.contracts.walk import Quarter

T = torch.tensor(0.5, dtype=torch.float64)


class Model:
    """x_0 is the condition; counts its rows."""

    def __init__(self) -> None:
        self.rows: list[int] = []

    def __call__(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        assert condition.vector is not None and len(condition.vector) == len(x_t)
        self.rows.append(len(x_t))
        return condition.vector + t.float()


TOLD, NULL = Condition(vector=torch.full((3, 2), 4.0)), Condition(vector=torch.ones(3, 2))


def test_both_branches_are_one_pass_that_others_share() -> None:
    model = Model()
    branches, x_t = Branches(model, NULL, Quarter()), torch.zeros(3, 2)
    conditional, null = branches.both(x_t, T, TOLD)
    assert (branches(x_t, T, TOLD) == conditional).all()
    assert branches.both(x_t, T, TOLD)[1] is null
    assert model.rows == [6]
    assert conditional.mean() == 4.5
    assert null.mean() == 1.5


def test_another_time_state_or_condition_is_asked_anew() -> None:
    model = Model()
    branches, x_t = Branches(model, NULL, Quarter()), torch.zeros(3, 2)
    branches(x_t, T, TOLD)
    assert branches(x_t, T / 2, TOLD).mean() == 4.25
    assert branches(x_t, T, NULL).mean() == 1.5
    branches(x_t.clone(), T, NULL)
    assert model.rows == [3] * 4


def test_the_conditional_branch_alone_does_not_stand_for_both() -> None:
    """The null is asked for; the conditional one is not asked again."""
    model = Model()
    branches, x_t = Branches(model, NULL, Quarter()), torch.zeros(3, 2)
    conditional = branches(x_t, T, TOLD)
    first, null = branches.both(x_t, T, TOLD)
    assert first is conditional and null.mean() == 1.5
    assert model.rows == [3, 3]


class Curved:
    """x_0 = sin(c x_t); counts its rows, and notes where activations are kept for a gradient."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.graphs: list[bool] = []

    def __call__(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        assert condition.vector is not None
        self.rows.append(len(x_t))
        self.graphs.append(torch.is_grad_enabled())
        return (condition.vector.double() * x_t).sin()


def test_a_gradient_through_the_model_shares_its_pass() -> None:
    """Of f = |x_0|^2: 2 c sin(c x) cos(c x). What is asked before or after costs what it would, but for x_0 itself."""
    x_t = torch.randn(3, 2, dtype=torch.float64)
    wanted = 8 * (4 * x_t).sin() * (4 * x_t).cos()
    for before in (False, True):
        model = Curved()
        branches = Branches(model, NULL, Quarter())
        with torch.no_grad():
            null = branches.both(x_t, T, TOLD)[1] if before else None
            slope = branches.gradient_through("f", lambda x_0: x_0.square().sum(1), x_t, T, TOLD)
            torch.testing.assert_close(slope, wanted, rtol=1e-12, atol=1e-12)
            x_0 = branches(x_t, T, TOLD)
            torch.testing.assert_close(x_0, (4 * x_t).sin())
            assert branches.both(x_t, T, TOLD)[0] is x_0 and not (x_0.requires_grad or slope.requires_grad)
        torch.testing.assert_close(branches.both(x_t, T, TOLD)[1], x_t.sin())
        assert null is None or branches.both(x_t, T, TOLD)[1] is null
        assert (model.rows, model.graphs) == (([6, 3], [False, True]) if before else ([3, 3], [True, False]))


@dataclass(frozen=True)
class Steep(Guidance):
    """Up the gradient of |x_0|^2."""

    def __call__(self, denoise: Denoise, branches: Branches) -> Denoise:
        def guided(x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
            slope = branches.gradient_through("steep", lambda x_0: x_0.square().sum(1), x_t, t, condition)
            return denoise(x_t, t, condition) + slope

        return guided


@pytest.mark.parametrize("variance", [False, True])
def test_a_gradient_through_the_model_costs_its_pass_alone(variance: bool) -> None:
    def price(*guidances: Guidance) -> Cost:
        return cost(DpmPp2M(), guidances, Quarter(), torch.tensor([0.9, 0.5, 0.0]).double(), (2,), True, variance)

    assert price(Steep()) == Cost(2, 2, {"steep": 2})
    assert price(Cfg(3.0), Steep()) == Cost(4, 4, {"steep": 2})
    assert price(Steep(), Cfg(3.0)) == Cost(4, 6, {"steep": 2})


def test_a_gradient_through_the_model_keeps_v() -> None:
    x_t = torch.randn(3, 2, dtype=torch.float64)
    asked = []

    def answer(x: Tensor, t: Tensor, given: Condition) -> tuple[Tensor, Tensor]:
        asked.append(len(x))
        return x.square(), 3 * x

    branches = Branches(WithVariance(answer), NULL, Quarter())
    with torch.no_grad():
        branches.gradient_through("f", lambda x_0: x_0.sum(1), x_t, T, TOLD)
        v = branches.v(x_t, T, TOLD)
    torch.testing.assert_close(v, 3 * x_t)
    assert asked == [3] and not v.requires_grad


def test_a_list_is_applied_in_order_in_one_pass() -> None:
    """Cfg adds (scale - 1) (conditional - null) to what the one before made: 4.5 + 1 * 3 + 0.5 * 3."""
    model = Model()
    guided = guide([Cfg(2.0), Cfg(1.5)], Branches(model, NULL, Quarter()))
    assert guided(torch.zeros(3, 2), T, TOLD).mean() == 9
    assert model.rows == [6]


def test_no_guidance_is_the_model() -> None:
    model = Model()
    assert guide([], Branches(model, NULL, Quarter()))(torch.zeros(3, 2), T, TOLD).mean() == 4.5
    assert model.rows == [3]


def test_v_is_that_of_the_condition_and_costs_no_call() -> None:
    """With guidance that mixes the two branches, and with none; the sampler asks for x_0 and v at once."""
    asked = []

    def answer(x_t: Tensor, t: Tensor, given: Condition) -> tuple[Tensor, Tensor]:
        asked.append(len(x_t))
        assert given.vector is not None
        return x_t * given.vector, 10 * given.vector.expand_as(x_t)

    condition, null = Condition(torch.full((3, 2), 2.0)), Condition(torch.ones(3, 2))
    x_t, t = torch.randn(3, 2), torch.tensor(0.5).double()
    for guidances, x_0, rows in (
        ([Cfg(3.0)], 4 * x_t, [6]),
        ([Cfg(3.0), Cfg(1.5)], 4.5 * x_t, [6]),
        ([], 2 * x_t, [3]),
    ):
        asked.clear()
        denoise = told(guide(guidances, Branches(WithVariance(answer), null, Quarter())), condition)
        assert isinstance(denoise, WithVariance)
        got, v = denoise.answer(x_t, t)
        torch.testing.assert_close(v, torch.full_like(x_t, 20.0))
        assert asked == rows
        torch.testing.assert_close(got, x_0)


def test_a_plain_denoiser_gives_no_v() -> None:
    denoise = told(guide([], Branches(lambda x_t, t, given: x_t, Condition(), Quarter())), Condition())
    assert not isinstance(denoise, WithVariance)
