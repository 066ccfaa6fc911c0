"""The transformer over patches."""

import pytest
import torch

from diffkit.core.condition import Condition, ConditionSpec
from diffkit.core.errors import DiffkitError
from diffkit.standard.denoisers.dit import DiT


@pytest.mark.parametrize("shape", [(3, 6, 4), (2, 8), (1, 2, 4, 6)])
def test_a_picture_is_cut_into_patches_and_put_together_again(shape: tuple[int, ...]) -> None:
    network = DiT(shape, ConditionSpec(), patch=2, width=8, heads=2, depth=1)
    x = torch.arange(2 * torch.Size(shape).numel()).float().reshape(2, *shape)
    tokens = network._tokens(x)
    assert tokens.shape[1] == torch.Size(shape[1:]).numel() // 2 ** len(shape[1:])
    assert torch.equal(network._picture(tokens), x)
    if len(shape) == 3:
        assert torch.equal(tokens[0, 1], x[0, :, :2, 2:4].flatten())


@pytest.mark.parametrize("shape", [(1, 9, 8), (2,), (1, 2, 2, 2, 2)])
def test_a_shape_that_patches_do_not_fill_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DiffkitError, match="choose another patch"):
        DiT(shape, ConditionSpec())


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(DiffkitError, match="width 10 cannot have 4 heads"):
        DiT((1, 4, 4), ConditionSpec(), width=10, heads=4)


def test_it_knows_where_a_patch_is() -> None:
    torch.manual_seed(0)
    network = DiT((1, 4, 4), ConditionSpec(), width=16, heads=2, depth=1)
    for parameter in network.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    x = torch.randn(1, 1, 4, 4)
    turned = x.flip(-1, -2)
    answers = [network(a, torch.zeros(1), Condition()) for a in (x, turned)]
    assert not torch.allclose(answers[0].flip(-1, -2), answers[1], atol=1e-3)
