"""The residual MLP."""

import math
from functools import partial

import pytest
import torch

from diffkit.core.condition import Condition, ConditionSpec
from diffkit.standard.denoisers.mlp import Mlp, waves
from diffkit.testing import check_denoiser
from diffkit.testing.given import CONDITIONS


def test_a_sequence_conditions_through_its_tokens_only() -> None:
    torch.manual_seed(0)
    network = Mlp((3,), ConditionSpec(sequence=4), width=8, embedding=8)
    for parameter in network.parameters():
        parameter.data = torch.randn_like(parameter)
    x, logsnr = torch.randn(2, 3), torch.zeros(2)
    tokens, mask = torch.randn(2, 5, 4), torch.tensor([[True] * 3 + [False] * 2] * 2)
    answer = network(x, logsnr, Condition(sequence=tokens, mask=mask))
    padding, token = tokens.clone(), tokens.clone()
    padding[:, 4] += 1
    token[:, 2] += 1
    assert torch.equal(network(x, logsnr, Condition(sequence=padding, mask=mask)), answer)
    assert not torch.allclose(network(x, logsnr, Condition(sequence=token, mask=mask)), answer)


def test_a_spatial_condition_is_more_inputs() -> None:
    network = Mlp((1, 4, 4), ConditionSpec(spatial=2), width=8, embedding=8)
    torch.nn.init.ones_(network.last.weight)
    x, logsnr = torch.randn(3, 1, 4, 4), torch.zeros(3)
    a, b = (network(x, logsnr, Condition(spatial=torch.full((3, 2, 4, 4), value))) for value in (0.0, 1.0))
    assert a.shape == x.shape
    assert not torch.allclose(a, b)


def test_it_starts_at_zero() -> None:
    network = Mlp((5,), ConditionSpec(), width=8, embedding=8)
    assert network(torch.randn(2, 5), torch.zeros(2), Condition()).abs().max() == 0


def test_it_sees_each_value_at_frequencies_that_double() -> None:
    x = torch.tensor([[0.3, -2.0]], dtype=torch.float64)
    angles = [frequency * value for frequency in (1, 2, 4) for value in (0.3, -2.0)]
    expected = sorted(wave(angle) for angle in angles for wave in (math.sin, math.cos))
    assert waves(x, 3)[0].sort().values.tolist() == pytest.approx(expected, rel=1e-12)


def test_a_network_of_frequencies_keeps_the_contract() -> None:
    check_denoiser(partial(Mlp, width=8, embedding=8, frequencies=2), [(2,), (1, 4, 4)], CONDITIONS[:2])
