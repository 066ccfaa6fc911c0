"""Grids in the noise level against the formulas in their papers."""

import math

import numpy as np
import pytest
import torch
from standard.grids.exact import exact
from torch import Tensor

from diffkit.core.schedule import Schedule
from diffkit.standard.grids import (
    Exponential,
    Flow,
    Karras,
    LogSnr,
)
from diffkit.standard.schedules import Cosine, Edm, Flow as FlowSchedule


def test_logsnr_is_uniform_in_logsnr() -> None:
    schedule = Cosine()
    logsnr = schedule.logsnr(LogSnr(5, -8.0, 8.0)(schedule)[:-1])
    torch.testing.assert_close(logsnr, exact([-8, -4, 0, 4, 8]))


def levels(schedule: Schedule, times: Tensor) -> Tensor:
    alpha, sigma = schedule(times)
    return sigma / alpha


@pytest.mark.parametrize("rho", [0.5, 1.0, 2.0])
def test_exponential_is_k_diffusions_formula(rho: float) -> None:
    """log sigma_i = log min + (1 - i / (n - 1))^rho (log max - log min), and 0."""
    n, high, low = 9, 60.0, 0.02
    logs = [math.log(low) + (1 - i / (n - 1)) ** rho * math.log(high / low) for i in range(n)]
    times = Exponential(n, rho, -2 * math.log(high), -2 * math.log(low))(Edm(80.0))
    torch.testing.assert_close(levels(Edm(80.0), times), exact([*map(math.exp, logs), 0]))


def test_exponential_at_one_is_logsnr() -> None:
    torch.testing.assert_close(Exponential(9)(Cosine()), LogSnr(9)(Cosine()))


def test_karras_is_the_papers() -> None:
    """sigma_i = (max^(1/rho) + i/(n-1) (min^(1/rho) - max^(1/rho)))^rho, and 0; EDM's own numbers."""
    n, high, low, rho = 18, 80.0, 0.002, 7
    steps = [(high ** (1 / rho) + i / (n - 1) * (low ** (1 / rho) - high ** (1 / rho))) ** rho for i in range(n)]
    ends = (-2 * exact([high, low]).log()).tolist()
    times = Karras(n, 7.0, *ends)(Edm(80.0))
    torch.testing.assert_close(80 * times, exact([*steps, 0]))


@pytest.mark.parametrize("schedule", [Cosine(), Edm(80.0), FlowSchedule()], ids=str)
def test_flow_is_uniform_in_the_straight_paths_time(schedule: Schedule) -> None:
    """sigma / (alpha + sigma) falls in equal steps from 1 / (1 + exp(-4)), where the log-SNR is -8, to 0."""
    level = levels(schedule, Flow(10, logsnr_min=-8.0, rho=1.0)(schedule))
    torch.testing.assert_close(level / (1 + level), exact(np.linspace(1 / (1 + math.exp(-4)), 0, 11)))
    level = levels(schedule, Flow(10, logsnr_min=-8.0, rho=2.0)(schedule))
    falls = np.linspace((1 / (1 + math.exp(-4))) ** 0.5, 0, 11) ** 2
    torch.testing.assert_close(level / (1 + level), exact(falls))


def test_a_shifted_flow_is_esser_et_al() -> None:
    """t' = shift t / (1 + (shift - 1) t): the times of the shifted schedule are those of the unshifted one."""
    u = exact(np.linspace(0.99, 0, 10))
    shifted = 3 * u / (1 + 2 * u)
    low = -2 * math.log(3 * 0.99 / 0.01)
    torch.testing.assert_close(Flow(9, 3.0, low, 1.0)(FlowSchedule()), shifted)
    torch.testing.assert_close(Flow(9, 3.0, low, 1.0)(FlowSchedule(3.0)), u)
