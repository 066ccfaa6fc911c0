"""The U-Net."""

import pytest
import torch

from diffkit.core.condition import Condition, ConditionSpec
from diffkit.core.errors import DiffkitError
from diffkit.standard.denoisers.unet import UNet


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 7, 5), (2, 9), (1, 4, 3, 5), (1, 2, 2)])
def test_any_size_of_one_to_three_axes(shape: tuple[int, ...]) -> None:
    network = UNet(shape, ConditionSpec(), width=8, heads=2, embedding=8)
    assert network(torch.randn(2, *shape), torch.zeros(2), Condition()).shape == (2, *shape)


@pytest.mark.parametrize(("shape", "levels"), [((2,), 1), ((1, 2, 8), 3), ((1, 4, 4, 4, 4), 1)])
def test_a_shape_without_room_is_refused(shape: tuple[int, ...], levels: int) -> None:
    with pytest.raises(DiffkitError, match="choose fewer multipliers, or denoiser=mlp"):
        UNet(shape, ConditionSpec(), width=8, multipliers=(1,) * levels)


def test_every_place_sees_every_other() -> None:
    torch.manual_seed(0)
    network = UNet((1, 16, 16), ConditionSpec(), width=8, heads=2, embedding=8).double()
    for parameter in network.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    x = torch.randn(1, 1, 16, 16, dtype=torch.float64, requires_grad=True)
    network(x, torch.zeros(1), Condition())[0, 0, 0, 0].backward()
    assert x.grad is not None
    assert (x.grad != 0).all()


def test_a_spatial_condition_acts_where_it_is() -> None:
    torch.manual_seed(0)
    network = UNet((1, 8, 8), ConditionSpec(spatial=1), width=8, heads=2, embedding=8)
    for parameter in network.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    x, empty = torch.randn(1, 1, 8, 8), torch.zeros(1, 1, 8, 8)
    marked = empty.clone()
    marked[..., 0, 0] = 1
    answers = [network(x, torch.zeros(1), Condition(spatial=spatial)) for spatial in (empty, marked)]
    change = (answers[1] - answers[0]).abs()[0, 0]
    assert change[0, 0] > change[-1, -1]
