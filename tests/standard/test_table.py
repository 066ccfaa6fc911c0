"""The table of times is as right as it says, on every schedule."""

import pytest
import torch
from parts import SCHEDULES

from diffkit.core.schedule import Schedule
from diffkit.standard.schedules import Cosine, Edm, Flow, Vp
from diffkit.standard.table import rate_at, time_at

LEVELS = torch.linspace(-19.99, 19.99, 997, dtype=torch.float64)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_times(schedule: Schedule) -> None:
    """t and 1 - t to a relative 2e-4, even where the path has corners; beyond its end, its end."""
    got, wanted = time_at(schedule, LEVELS), schedule.time(LEVELS)
    torch.testing.assert_close(got, wanted, rtol=2e-4, atol=0)
    torch.testing.assert_close(1 - got, 1 - wanted, rtol=2e-4, atol=1e-12)
    low = schedule.logsnr(torch.ones((), dtype=torch.float64)).item()
    if low > -19:
        assert (time_at(schedule, LEVELS)[low > LEVELS] == 1).all()


@pytest.mark.parametrize("schedule", [Cosine(), Flow(), Vp(), Edm()], ids=str)
def test_rates(schedule: Schedule) -> None:
    """Against automatic differentiation, where the path is."""
    t = schedule.time(LEVELS)
    t = t[t < 1].requires_grad_()
    (slope,) = torch.autograd.grad(schedule.logsnr(t).sum(), t)
    torch.testing.assert_close(rate_at(schedule, schedule.logsnr(t.detach())), -slope, rtol=1e-4, atol=0)
