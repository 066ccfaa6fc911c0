"""Inpainting of normal data, whose conditional mean and covariance are known."""

import pytest
import torch

from diffkit.compose.build import create
from diffkit.compose.registry import registry
from diffkit.core.inpaint import Inpaint
from diffkit.core.sampler import drive
from diffkit.core.variance import WithVariance
from diffkit.testing.oracle import Gaussian, denoiser

SCHEDULE = create("schedule", "cosine")
ROOT = 0.5**0.5
PAIR = Gaussian(
    torch.zeros(2, dtype=torch.float64),
    torch.tensor([[ROOT, ROOT], [ROOT, -ROOT]], dtype=torch.float64),
    torch.tensor([1.8, 0.2], dtype=torch.float64),
)
"""Unit variances and a correlation of 0.8: given the first, the second has mean 0.8 of it and variance 0.36."""
FIRST = torch.tensor([True, False])


def times_of(steps):
    return create("grid", "logsnr", steps=steps, logsnr_min=-10.0, logsnr_max=12.0)(SCHEDULE)


def drawn(sampler, steps, n=4000, value=1.5):
    g = torch.Generator().manual_seed(0)

    def noise(x):
        return torch.randn(x.shape, generator=g, dtype=x.dtype)

    known = torch.tensor([[value, torch.nan]], dtype=torch.float64).expand(n, 2)
    wrapped = Inpaint(sampler(), known, FIRST.expand(n, 2), *steps[1:])
    times = times_of(steps[0])
    x = wrapped.put_back(SCHEDULE, noise(known), times[0], noise)
    for state in drive(wrapped, denoiser(PAIR, SCHEDULE), SCHEDULE, x, times, noise):
        x = state.x
    assert torch.equal(x[:, 0], known[:, 0])
    return x[:, 1]


def test_replacement_is_biased_and_repeats_take_the_bias_away():
    def error(repeats, jump=1):
        return (drawn(lambda: create("sampler", "ddpm"), (40, repeats, jump)).mean() - 0.8 * 1.5).item()

    alone, five, twenty = error(1), error(5), error(20)
    assert alone < -0.1  # towards the mean without anything known, which is 0: several standard errors of 0.01
    assert abs(five) < abs(alone) / 2
    assert abs(twenty) < 0.04


def test_the_conditional_variance_is_found():
    x = drawn(lambda: create("sampler", "ddpm"), (100, 8, 1))
    assert abs(x.mean().item() - 1.2) < 0.08  # what 8 repeats leave of 0.13
    assert abs(x.var().item() - 0.36) < 0.05


@pytest.mark.parametrize(("steps", "jump", "blocks"), [(6, 3, [(0, 3), (3, 6)]), (5, 2, [(0, 1), (1, 3), (3, 5)])])
def test_jumps_are_counted_from_the_end(steps, jump, blocks):
    empty = torch.zeros(1, 2)
    assert Inpaint(create("sampler", "ddim"), empty, empty.bool(), 1, jump).blocks(steps) == blocks
    assert Inpaint(create("sampler", "ddim"), empty, empty.bool(), 1, 99).blocks(steps) == [(0, steps)]


def test_the_levels_walked_are_those_of_repaint():
    """Down by the steps, and up by a jump, each as often as it is repeated."""
    empty, times = torch.zeros(1, 2, dtype=torch.float64), times_of(4)
    sampler = Inpaint(create("sampler", "ddim"), empty, empty.bool(), 2, 2)
    states = list(drive(sampler, lambda x, t: 0 * x, SCHEDULE, empty, times, torch.randn_like))
    walked = [times.tolist().index(state.t) for state in states]
    assert walked == [1, 2, 1, 2, 3, 4, 3, 4]


@pytest.mark.parametrize("name", registry().names("sampler"))
def test_every_sampler_can_be_wrapped_and_leaves_the_known_alone(name):
    x = torch.randn(3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    bare = denoiser(PAIR, SCHEDULE)
    given = WithVariance(lambda x_t, t: (bare(x_t, t), torch.zeros_like(x_t)))
    sampler = Inpaint(create("sampler", name), torch.full_like(x, 0.7), FIRST.expand(3, 2), 2, 2)
    *_, last = drive(sampler, given, SCHEDULE, x, times_of(5), torch.zeros_like)
    assert torch.equal(last.x[:, 0], torch.full((3,), 0.7, dtype=torch.float64))
    # without noise the other part goes by the flow that the known one leaves it
    assert bool(last.x[:, 1].isfinite().all()) and last.x[:, 1].abs().max() < 3
    assert (last.x[:, 1] - x[:, 1]).abs().min() > 1e-6
