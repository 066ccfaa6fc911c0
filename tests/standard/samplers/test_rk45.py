"""The adaptive method: its coefficients, its tolerance, and what it says where it cannot go on."""

from typing import Literal

import numpy as np
import pytest
import torch
from scipy.integrate import RK45
from standard.samplers.walks import DATA, LEVELS, start, walk
from torch import Tensor

from diffkit.core.errors import RunFailed
from diffkit.standard.samplers.rk45 import ERROR, NODES, ROWS, Rk45
from diffkit.standard.schedules import Cosine
from diffkit.testing.oracle import denoiser

GRID = [*LEVELS[:-1], 0.01, 0.0]


def test_coefficients_are_scipys() -> None:
    rows = np.zeros((6, 6))
    for row, values in zip(rows, ROWS, strict=True):
        row[: len(values)] = values
    np.testing.assert_allclose(rows[:5, :5], RK45.A[1:, :5], rtol=1e-15)
    np.testing.assert_allclose(rows[5], RK45.B, rtol=1e-15)
    np.testing.assert_allclose(NODES, [*RK45.C[1:], 1.0], rtol=1e-15)
    np.testing.assert_allclose(np.abs(ERROR), np.abs(RK45.E), rtol=1e-14)
    assert abs(sum(ERROR)) < 1e-16


@pytest.mark.parametrize("form", ["v", "flow"])
def test_error_and_calls_follow_the_tolerance(form: Literal["v", "flow"]) -> None:
    """At every stop of a coarse grid: the exact solution to 50 times the tolerance; a method of fifth order's calls."""
    y = start() / LEVELS[0]
    asked: list[float] = []
    exact = denoiser(DATA, Cosine())

    def model(x: Tensor, t: Tensor) -> Tensor:
        asked.append(t.item())
        return exact(x, t)

    calls = []
    for tolerance in (1e-4, 1e-9):
        asked.clear()
        states = walk(Rk45(form, tolerance, tolerance), levels=GRID, model=model, y=y)
        for level, state in zip(GRID[1:], states, strict=True):
            error = (state - DATA.flow(y, (1.0, GRID[0]), (1.0, level))).abs().max().item()
            assert error < 50 * tolerance
        calls.append(len(asked))
        assert min(asked) > 0
    assert 3 < calls[1] / calls[0] < 20  # 1e5^(1/5) is 10


def test_a_model_that_is_not_finite_ends_soon() -> None:
    asked = []

    def model(x: Tensor, t: Tensor) -> Tensor:
        asked.append(t)
        return torch.full_like(x, torch.nan)

    with pytest.raises(RunFailed, match=r"rk45 does not get from a noise level of 5 to 2 .* raise sampler.rtol"):
        walk(Rk45(), model=model)
    assert len(asked) < 200


def test_the_number_of_tries_is_limited() -> None:
    with pytest.raises(RunFailed, match="in 3 tries"):
        walk(Rk45(rtol=1e-12, atol=1e-12, limit=3))
