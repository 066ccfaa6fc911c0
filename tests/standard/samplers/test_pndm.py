"""Pseudo numerical methods against the papers' own transfer."""

from itertools import pairwise
from math import sqrt

import pytest
import torch
from standard.samplers.walks import close, denoise, start, walk
from torch import Tensor

from diffkit.core.sampler import Sampler
from diffkit.standard.samplers.ipndm import Ipndm
from diffkit.standard.samplers.pndm import Pndm

LEVELS = [5.0, 3.0, 2.0, 1.2, 0.7, 0.4, 0.1, 0.0]
ADAMS = {1: [1.0], 2: [1.5, -0.5], 3: [23 / 12, -16 / 12, 5 / 12], 4: [55 / 24, -59 / 24, 37 / 24, -9 / 24]}


def bar(r: float) -> float:
    return 1 / (1 + r**2)


def noise(x: Tensor, r: float) -> Tensor:
    """The model's eps at x = sqrt(bar) x_0 + sqrt(1 - bar) eps."""
    return (x - sqrt(bar(r)) * denoise(x / sqrt(bar(r)), r)) / sqrt(1 - bar(r))


def transfer(x: Tensor, eps: Tensor, r: float, s: float) -> Tensor:
    """Liu et al. 2022, equation 11."""
    a, b = bar(r), bar(s)
    return sqrt(b / a) * x - (b - a) / (sqrt(a) * (sqrt((1 - b) * a) + sqrt((1 - a) * b))) * eps


def runge_kutta(x: Tensor, eps: Tensor, r: float, s: float) -> Tensor:
    """Liu et al. 2022, equation 13, with the nodes in the middle of the noise levels."""
    m = (r + s) / 2
    second = noise(transfer(x, eps, r, m), m)
    third = noise(transfer(x, second, r, m), m)
    fourth = noise(transfer(x, third, r, s), s)
    return transfer(x, (eps + 2 * second + 2 * third + fourth) / 6, r, s)


def pseudo(answers: int, starts: int) -> list[Tensor]:
    x, slopes, states = sqrt(bar(LEVELS[0])) * start(), list[Tensor](), []
    for i, (r, s) in enumerate(pairwise(LEVELS)):
        slopes.insert(0, noise(x, r))
        if i < starts:
            x = runge_kutta(x, slopes[0], r, s)
        else:
            weights = ADAMS[min(len(slopes), answers)]
            x = transfer(x, sum(w * e for w, e in zip(weights, slopes, strict=False)), r, s)  # type: ignore[arg-type]
        states.append(x / sqrt(bar(s)))
    return states


@pytest.mark.parametrize(("sampler", "answers", "starts"), [(Ipndm(4), 4, 0), (Ipndm(3), 3, 0), (Pndm(), 4, 3)])
def test_update(sampler: Sampler, answers: int, starts: int) -> None:
    close(walk(sampler, levels=LEVELS), pseudo(answers, starts))


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_few_steps(steps: int) -> None:
    """All are of Runge and Kutta's method, but for one to the end, where the slope is not defined: Euler's."""
    levels = [*LEVELS[:steps], 0.0]
    y, wanted = start(), []
    for r, s in pairwise(levels):
        x = sqrt(bar(r)) * y
        y = runge_kutta(x, noise(x, r), r, s) / sqrt(bar(s)) if s else denoise(y, r)
        wanted.append(y)
    count = min(steps, 3)
    close(walk(Pndm(), levels=levels)[:count], wanted[:count])
    torch.testing.assert_close(len(walk(Pndm(), levels=levels)), steps)
