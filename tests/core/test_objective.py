"""The times of a chain."""

import torch

from diffkit.core.objective import on_chain


def test_each_time_goes_to_the_end_of_its_cell() -> None:
    t = torch.tensor([0.0, 1e-12, 0.1, 0.2500001, 0.5, 0.99, 1.0], dtype=torch.float64)
    assert on_chain(t, 4).tolist() == [0.25, 0.25, 0.25, 0.5, 0.5, 1.0, 1.0]
    assert on_chain(t, None) is t


def test_uniform_times_are_hos_steps() -> None:
    """t = i / 1000 for i = 1, ..., 1000, each with probability 1/1000."""
    u = (torch.arange(10000, dtype=torch.float64) + 0.5) / 10000
    steps = (on_chain(u, 1000) * 1000).round().long()
    assert torch.bincount(steps).tolist() == [0] + [10] * 1000
