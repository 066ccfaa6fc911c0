"""Ranges, and the helper that aligns shapes."""

import math

import pytest
import torch

from diffkit.core.types import Range, expand


@pytest.mark.parametrize(
    ("allowed", "inside", "outside", "words"),
    [
        (Range(1), [1, 5], [0, math.inf, math.nan], "at least 1"),
        (Range(0, open=True), [1e-9, 3], [0, -1], "above 0"),
        (Range(0, 1), [0, 1, 0.5], [-0.1, 1.1], "at least 0 and at most 1"),
        (Range(high=2), [-5, 2], [3], "at most 2"),
        (Range(), [0, -3], [math.inf], "a finite number"),
    ],
)
def test_range(allowed: Range, inside: list[float], outside: list[float], words: str) -> None:
    assert all(value in allowed for value in inside)
    assert not any(value in allowed for value in outside)
    assert str(allowed) == words


def test_expand_gives_trailing_dimensions_and_dtype() -> None:
    x = torch.zeros(2, 3, 4, 4)
    a = expand(torch.tensor([1.0, 2.0], dtype=torch.float64), x)
    assert a.shape == (2, 1, 1, 1)
    assert a.dtype == x.dtype
    assert (expand(torch.tensor(2.0, dtype=torch.float64), x) * (x + 1)).dtype == x.dtype
