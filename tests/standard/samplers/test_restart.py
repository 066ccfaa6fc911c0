"""Restarts against their algorithm."""

from math import sqrt

import pytest
import torch
from standard.samplers import independent
from standard.samplers.walks import LEVELS, close, denoise, draws, start, walk
from torch import Tensor

from diffkit.standard.samplers.ddim import Ddim
from diffkit.standard.samplers.heun import Heun
from diffkit.standard.samplers.restart import Restart


def karras(low: float, high: float, steps: int) -> list[float]:
    ends = high ** (1 / 7), low ** (1 / 7)
    return [(ends[0] + i / steps * (ends[1] - ends[0])) ** 7 for i in range(steps + 1)]


@pytest.mark.parametrize("low", [0.6, 0.8])
def test_algorithm(low: float) -> None:
    """Xu et al. 2023, algorithm 1: down to the level nearest 0.7 of the grid, three times up and down, and on."""
    noises = draws(3)
    y, wanted = start(), list[Tensor]()
    for at in (1, 2):
        y = independent.heun(denoise, y, LEVELS[at - 1 : at + 1])
        wanted.append(y)
    for z in noises:
        y = y + sqrt(1.5**2 - LEVELS[2] ** 2) * z
        y = independent.heun(denoise, y, karras(LEVELS[2], 1.5, 4))
    wanted[-1] = y
    for at in (3, 4):
        y = independent.heun(denoise, y, LEVELS[at - 1 : at + 1])
        wanted.append(y)
    close(walk(Restart(Heun(), low, 1.5, 3, 4), noises), wanted)


@pytest.mark.parametrize("high", [0.1, 0.25])
def test_a_grid_without_levels_in_the_interval_has_no_restarts(high: float) -> None:
    torch.testing.assert_close(walk(Restart(Ddim(), 0.05, high)), walk(Ddim()), rtol=0, atol=0)


def test_it_is_what_its_base_is() -> None:
    sampler = Restart(Ddim(), repeats=3, inner_steps=4)
    assert (sampler.order, sampler.calls_per_step) == (1, 13)
