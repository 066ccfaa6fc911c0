"""Every registered schedule, and many forms of the standard ones, against the contract of schedules."""

import pytest
import torch
from parts import every
from torch import Tensor

from diffkit.core.schedule import LOGSNR_LIMIT, Schedule
from diffkit.standard.schedules import (
    Cosine,
    Edm,
    Exponential,
    Flow,
    Laplace,
    Linear,
    ScaledLinear,
    Shifted,
    Sigmoid,
    SubVp,
    Tabulated,
    Ve,
    Vp,
    ZeroSnr,
)
from diffkit.testing import check_schedule

OTHERS = [
    Linear(steps=10),
    Linear(1e-5, 0.5, 7),
    ScaledLinear(1e-4, 0.02),
    Exponential(1e-6, 0.3, 50),
    Tabulated((0.999,)),
    Tabulated((1e-5, 0.5, 1e-5, 0.9)),
    Cosine(0.0),
    Cosine(0.1),
    Sigmoid(0.0, 3.0, 0.7),
    Sigmoid(-40.0, 50.0, 0.5),
    Sigmoid(-0.01, 0.01, 1.0),
    Laplace(3.0, 0.1),
    Laplace(-3.0, 5.0),
    Vp(5.0, 5.0),
    SubVp(20.0, 0.1),
    Ve(1e-4, 1e4),
    Edm(1e5),
    Edm(2.0),
    Flow(3.0),
    Flow(0.3),
    Shifted(Edm(), 3.0),
    Shifted(Flow(), -15.0),
    ZeroSnr(ScaledLinear()),
    ZeroSnr(Edm()),
    ZeroSnr(Cosine()),
    ZeroSnr(Shifted(Linear(), 2.0)),
]
EVERY = [*every("schedule"), *OTHERS]


@pytest.mark.parametrize("schedule", EVERY)
def test_contract(schedule: Schedule) -> None:
    check_schedule(schedule)


@pytest.mark.parametrize("schedule", EVERY)
def test_time_beyond_the_ends_is_the_end(schedule: Schedule) -> None:
    first, last = schedule.time(torch.tensor([4000.0, -4000.0])).tolist()
    assert first < 1e-60
    assert last == pytest.approx(1.0, abs=1e-15)


@pytest.mark.parametrize("schedule", EVERY)
def test_span_is_as_far_as_the_limit_goes(schedule: Schedule) -> None:
    """The span's ends are within the limit, and the very next float64 times are not, to rounding."""
    span = torch.tensor(schedule.span(), dtype=torch.float64)
    beyond = torch.nextafter(span, torch.tensor([0.0, 1.0], dtype=torch.float64))
    inside, outside = schedule.logsnr(span).tolist(), schedule.logsnr(beyond).tolist()
    assert inside[0] <= LOGSNR_LIMIT + 1e-12 and outside[0] >= LOGSNR_LIMIT - 1e-12
    assert inside[1] >= -LOGSNR_LIMIT - 1e-12 and (span[1] == 1 or outside[1] <= -LOGSNR_LIMIT + 1e-5)


def slopes(schedule: Schedule, t: Tensor) -> tuple[Tensor, Tensor]:
    """The derivatives of alpha and sigma by central differences of order 4."""
    h = 1e-4 * torch.minimum(t, 1 - t)
    points = [torch.stack(schedule(t + k * h)) for k in (-2, -1, 1, 2)]
    alpha, sigma = (points[0] - 8 * points[1] + 8 * points[2] - points[3]) / (12 * h)
    return alpha, sigma


@pytest.mark.parametrize("schedule", EVERY)
def test_autograd_gives_the_slopes(schedule: Schedule) -> None:
    t = torch.tensor([1e-4, 0.0315, 0.2605, 0.5115, 0.7985, 0.9885, 0.9999], dtype=torch.float64)
    alpha, sigma = slopes(schedule, t)
    t.requires_grad_()
    for values, slope in zip(schedule(t), (alpha, sigma), strict=True):
        (found,) = torch.autograd.grad((values + 0 * t).sum(), t, retain_graph=True)
        torch.testing.assert_close(found, slope, rtol=1e-6, atol=1e-7)
