"""EDM's stochastic sampler against its algorithm."""

from itertools import pairwise
from math import sqrt

import pytest
import torch
from standard.samplers.walks import LEVELS, close, denoise, draws, start, walk
from torch import Tensor

from diffkit.standard.samplers.edm import EdmSampler
from diffkit.standard.samplers.heun import Heun


def algorithm(churn: float, low: float, high: float, s_noise: float, noises: list[Tensor]) -> list[Tensor]:
    """Karras et al. 2022, algorithm 2."""
    y, states, drawn = start(), [], iter(noises)
    for r, after in pairwise(LEVELS):
        raised = r * (1 + (min(churn / (len(LEVELS) - 1), sqrt(2) - 1) if low <= r <= high else 0))
        if raised > r:
            y = y + sqrt(raised**2 - r**2) * s_noise * next(drawn)
        slope = (y - denoise(y, raised)) / raised
        guess = y + (after - raised) * slope
        if after:
            slope = (slope + (guess - denoise(guess, after)) / after) / 2
        y = y + (after - raised) * slope
        states.append(y)
    return states


@pytest.mark.parametrize(
    ("churn", "low", "high", "s_noise", "drawn"),
    [(0.8, 0.0, 1e3, 1.0, 4), (9.0, 0.0, 1e3, 1.0, 4), (0.8, 0.5, 3.0, 1.0, 2), (0.8, 0.0, 1e3, 1.01, 4)],
    ids=["small", "capped", "within", "noisier"],
)
def test_algorithm(churn: float, low: float, high: float, s_noise: float, drawn: int) -> None:
    noises = draws(drawn)
    close(walk(EdmSampler(churn, low, high, s_noise), noises), algorithm(churn, low, high, s_noise, noises))


def test_without_churn_it_is_heun() -> None:
    torch.testing.assert_close(walk(EdmSampler(0.0)), walk(Heun()), rtol=0, atol=0)
