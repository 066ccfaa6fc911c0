"""The chain's spacings against the formulas of Lin et al. 2023."""

import numpy as np
import pytest
import torch
from standard.grids.exact import exact

from diffkit.standard.grids import (
    Leading,
    Linspace,
    Trailing,
)
from diffkit.standard.schedules import Linear


@pytest.mark.parametrize(("steps", "chain"), [(10, 1000), (25, 1000), (7, 1000), (600, 1000), (999, 1000), (8, 50)])
def test_trailing_is_the_papers(steps: int, chain: int) -> None:
    """Lin et al. 2023, table 2: round(flip(arange(T, 0, -T / N))), in whole numbers here; t = 1 is always the first."""
    times = Trailing(steps, chain)(Linear())
    assert times[0].item() == 1
    far = [abs(round(t * chain) * steps - chain * (steps - k)) for k, t in enumerate(times.tolist())]
    assert max(far) * 2 <= steps  # within half a step of the chain
    assert (times * chain - (times * chain).round()).abs().max() < 1e-9


@pytest.mark.parametrize("steps", [1, 2, 10, 50, 250])
def test_leading_is_the_papers_where_steps_divide_the_chain(steps: int) -> None:
    """Lin et al. 2023, table 2: arange(1, T + 1, floor(T / N))."""
    times = exact(np.flip(np.arange(1, 1001, 1000 // steps)).copy()) / 1000
    torch.testing.assert_close(Leading(steps)(Linear())[:-1], times, rtol=0, atol=1e-15)


def test_leading_covers_the_chain_where_steps_do_not_divide_it() -> None:
    """floor(T / N) is 1 for 600 steps of 1000, which would leave out the noisiest 400."""
    times = Leading(600)(Linear())
    assert len(times) == 601
    assert times[0].item() == (1 + 599 * 1000 // 600) / 1000 == 0.999
    assert times[-2].item() == 0.001


@pytest.mark.parametrize("steps", [2, 10, 30, 999])
def test_linspace_is_the_papers(steps: int) -> None:
    """Lin et al. 2023, table 2: round(linspace(1, T, N))."""
    times = exact(np.flip(np.round(np.linspace(1, 1000, steps))).copy()) / 1000
    torch.testing.assert_close(Linspace(steps)(Linear())[:-1], times, rtol=0, atol=1e-15)


def test_a_single_linspace_step_goes_from_noise_to_data() -> None:
    assert Linspace(1)(Linear()).tolist() == [1, 0]
