"""Predictor-corrector sampling against its algorithms."""

from itertools import pairwise
from math import sqrt

import pytest
import torch
from standard.samplers.walks import LEVELS, close, denoise, draws, start, walk
from torch import Tensor

from diffkit.core.noise import Noise
from diffkit.standard.samplers.ddpm import Ddpm
from diffkit.standard.samplers.predictor_corrector import PredictorCorrector
from diffkit.standard.schedules.continuous import Ve


def score(y: Tensor, r: float) -> Tensor:
    return (denoise(y, r) - y) / r**2


@pytest.mark.parametrize("corrections", [0, 1, 2])
def test_reverse_diffusion(corrections: int) -> None:
    """Song et al. 2021, algorithms 2 and 4, with norms of each row; no noise in the last step."""
    noises = draws(3 * (1 + corrections))
    drawn, y, wanted = iter(noises), start(), []
    for r, s in pairwise(LEVELS):
        y = y + (r**2 - s**2) * score(y, r)
        if s:
            y = y + sqrt(r**2 - s**2) * next(drawn)
            for _ in range(corrections):
                g, z = score(y, s), next(drawn)
                eps = 2 * (0.16 * z.norm(dim=1, keepdim=True) / g.norm(dim=1, keepdim=True)) ** 2
                y = y + eps * g + (2 * eps).sqrt() * z
        wanted.append(y)
    close(walk(PredictorCorrector(corrections=corrections), noises), wanted)


def test_ancestral_predictor_is_ddpm() -> None:
    close(walk(PredictorCorrector("ancestral", 0), draws(3)), walk(Ddpm("small"), draws(3)))


def test_a_score_that_is_lost_in_rounding_makes_a_finite_step() -> None:
    times = torch.tensor([0.9, 0.5, 0.0], dtype=torch.float64)
    x = 1e4 * torch.ones(2, 2)
    *_, last = PredictorCorrector().steps(
        lambda x_t, _: x_t / Ve()(times[1])[0].item(), Ve(), x, times, Noise(0, [0, 1])
    )
    assert last.x.isfinite().all()
