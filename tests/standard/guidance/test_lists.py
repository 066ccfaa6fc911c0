"""Lists of guidances: off values, order, cost, limits."""

import numpy as np
import pytest
import torch
from standard.guidance.linear import GRID, QUARTER, STEPS, model, price, wide
from torch import Tensor

from diffkit.core.condition import Condition
from diffkit.core.data import DataSpec
from diffkit.core.errors import DiffkitError
from diffkit.core.guidance import Branches, Guidance, guide, strength
from diffkit.standard.guidance.apg import Apg
from diffkit.standard.guidance.cfg import Cfg
from diffkit.standard.guidance.interval import Interval
from diffkit.standard.guidance.rescale import Rescale
from diffkit.standard.guidance.threshold import DynamicThreshold, StaticThreshold

T = torch.tensor(0.4, dtype=torch.float64)
PIXELS = DataSpec((4,), mean=(3.0,), scale=(2.0,), low=0.0, high=8.0)


def ask(guidances: list[Guidance], rows: int = 6, t: Tensor = T) -> Tensor:
    condition, null = wide(rows)
    x_t = torch.randn(rows, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    return guide(guidances, Branches(model, null, QUARTER))(x_t, t, condition)


@pytest.mark.parametrize("off", [Cfg(1.0), Apg(1.0), Rescale(0.0), Interval(-20.0, 20.0)], ids=repr)
def test_off_values_return_the_denoiser_itself(off: Guidance) -> None:
    branches = Branches(model, Condition(), QUARTER)
    assert off(branches, branches) is branches
    assert (ask([Cfg(3.0), off]) == ask([Cfg(3.0)])).all() and (ask([off, Cfg(3.0)]) == ask([Cfg(3.0)])).all()


def test_what_adds_may_stand_in_any_order_and_what_limits_may_not() -> None:
    adding = [Cfg(3.0), Apg(2.0, parallel=0.5, momentum=0.0), Cfg(1.5, ramp=((-2.0, 0.0), (2.0, 1.0)))]
    torch.testing.assert_close(ask(adding), ask(adding[::-1]), rtol=1e-14, atol=1e-14)
    assert not torch.allclose(ask([Cfg(3.0), Rescale(1.0)]), ask([Rescale(1.0), Cfg(3.0)]))
    outside = QUARTER.time(torch.tensor(5.0).double())
    assert (ask([Cfg(3.0), Interval(-1.0, 3.0)], t=outside) == ask([], t=outside)).all()
    assert (ask([Interval(-1.0, 3.0), Cfg(3.0)], t=outside) == ask([Cfg(3.0)], t=outside)).all()


def test_what_a_sample_costs() -> None:
    inside = int(((QUARTER.logsnr(GRID(QUARTER)[:-1]) - 1).abs() <= 2).sum())
    assert (price().calls, price().rows) == (STEPS, STEPS)
    assert (price(Cfg(3.0)).calls, price(Cfg(3.0)).rows) == (STEPS, 2 * STEPS)
    assert price(Cfg(3.0), Rescale(), Cfg(1.5)).rows == 2 * STEPS
    assert price(Cfg(3.0), Interval(-1.0, 3.0)).rows == STEPS + inside and 30 < inside < 100
    assert price(Interval(-1.0, 3.0), Cfg(3.0)).rows == 2 * STEPS
    assert str(price(Cfg(3.0))) == f"{STEPS} network calls a sample, each of 2 rows"


def test_the_network_sees_as_many_rows_as_the_price_says() -> None:
    """Counted where the walk is a real one: outside the interval each row is asked once."""
    seen = []

    def counting(x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        seen.append(len(x_t))
        return model(x_t, t, condition)

    condition, null = wide(1)
    guided = guide([Cfg(3.0), Interval(-1.0, 3.0)], Branches(counting, null, QUARTER))
    for t in GRID(QUARTER)[:-1]:
        guided(torch.zeros(1, 2, dtype=torch.float64), t, condition)
    assert (len(seen), sum(seen)) == (STEPS, price(Cfg(3.0), Interval(-1.0, 3.0)).rows)


def test_a_device_without_memory_for_both_branches_is_asked_twice() -> None:
    seen = []

    def small(x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        seen.append(len(x_t))
        if len(x_t) > 6:
            raise torch.OutOfMemoryError("no memory")
        return model(x_t, t, condition)

    condition, null = wide(6)
    x_t = torch.randn(6, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    guided = guide([Cfg(3.0)], Branches(small, null, QUARTER))
    torch.testing.assert_close(guided(x_t, T, condition), ask([Cfg(3.0)]), rtol=1e-14, atol=0.0)
    guided(x_t.clone(), T, condition)
    assert seen == [12, 6, 6, 6, 6]


def test_a_ramp_is_linear_in_log_snr_and_constant_beyond_its_ends() -> None:
    ramp = ((-4.0, 0.0), (0.0, 1.0), (2.0, 0.5))
    for logsnr, share in ((-9.0, 0.0), (-4.0, 0.0), (-1.0, 0.75), (0.0, 1.0), (1.0, 0.75), (9.0, 0.5)):
        t = QUARTER.time(torch.tensor(logsnr, dtype=torch.float64))
        assert strength(3.0, ramp, QUARTER, t) == pytest.approx(2 * share, abs=1e-9)
    with pytest.raises(DiffkitError, match="whose log-SNRs rise"):
        Cfg(2.0, ramp=((1.0, 0.0), (0.0, 1.0)))


def test_static_threshold() -> None:
    """0 to 8 in the data's unit are -1.5 and 2.5 in the model's space."""
    answer = torch.tensor([[-9.0, -1.5, 0.3, 9.0]], dtype=torch.float64)
    cut = StaticThreshold(PIXELS)(lambda x, t, c: answer, _none())(answer, T, Condition())
    assert cut.tolist() == [[-1.5, -1.5, 0.3, 2.5]]
    assert (StaticThreshold(PIXELS)(lambda x, t, c: cut, _none())(cut, T, Condition()) == cut).all()


def test_dynamic_threshold_by_its_definition() -> None:
    answer = 3 * torch.randn(5, 4, dtype=torch.float64)
    got = DynamicThreshold(PIXELS, 0.9)(lambda x, t, c: answer, _none())(answer, T, Condition())
    for row, new in zip(answer.numpy(), got.numpy(), strict=True):
        pixels = 2 * row + 3
        s = max(4.0, np.quantile(np.abs(pixels - 4), 0.9))
        np.testing.assert_allclose(2 * new + 3, 4 + 4 * np.clip((pixels - 4) / s, -1, 1), atol=1e-12)


def test_thresholds_need_a_range_and_no_latents() -> None:
    with pytest.raises(DiffkitError, match="declare no lowest and highest value"):
        StaticThreshold(DataSpec((2,)))
    with pytest.raises(DiffkitError, match="latents of shape"):
        DynamicThreshold(PIXELS)(lambda x, t, c: x, _none())(torch.zeros(1, 3), T, Condition())


def _none() -> Branches:
    return Branches(lambda x, t, c: x, Condition(), QUARTER)
