"""Grids in time against the formulas in their papers."""

import numpy as np
import pytest
import scipy.stats
import torch
from standard.grids.exact import exact

from diffkit.standard.grids import (
    Beta,
    Quadratic,
    Uniform,
)
from diffkit.standard.schedules import Cosine, Linear


def test_uniform_is_uniform_in_time() -> None:
    torch.testing.assert_close(Uniform(4, -20.0)(Linear()), exact([1, 0.75, 0.5, 0.25, 0]))
    assert Cosine().logsnr(Uniform(4)(Cosine())[0]).item() == pytest.approx(-10)


def test_quadratic_is_the_papers() -> None:
    """Song et al. 2021, appendix D.2: tau_i = c i^2, with the last near T."""
    torch.testing.assert_close(Quadratic(5, -20.0)(Linear()), exact([1, 16 / 25, 9 / 25, 4 / 25, 1 / 25, 0]))
    torch.testing.assert_close(
        Quadratic(10, -20.0, chain=1000)(Linear()), exact([10 * i * i for i in range(10, -1, -1)]) / 1000
    )


@pytest.mark.parametrize(("a", "b"), [(0.6, 0.6), (0.5, 2.0), (1.0, 1.0)])
def test_beta_is_the_papers(a: float, b: float) -> None:
    """The probability of a Beta(a, b) variable up to each time falls in equal steps."""
    times = Beta(7, a, b, -20.0)(Linear())
    torch.testing.assert_close(exact(scipy.stats.beta.cdf(times.numpy(), a, b)), exact(np.linspace(1, 0, 8)))


def test_beta_has_short_steps_at_both_ends() -> None:
    steps = -Beta(9)(Cosine()).diff()
    assert steps.argmax() == 4
    assert steps[0] < steps[4] / 2 and steps[-1] < steps[4] / 2
