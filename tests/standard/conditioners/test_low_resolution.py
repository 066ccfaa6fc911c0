"""A small picture is the means of a large one's blocks, and tells the network where they are."""

import pytest
import small
import torch

from diffkit.compose.build import build_model, create, part
from diffkit.core.errors import DiffkitError
from diffkit.run.editing import editing
from diffkit.run.given import given_rows

SPEC = part("data", {"_part_": "digits"}, seed=0).spec


def test_every_value_is_the_mean_of_its_block():
    x = torch.randn(2, 3, 4, 6, generator=torch.Generator().manual_seed(0))
    told = create("conditioner", "low_resolution", shape=(3, 4, 6), factor=2)({"x": x}).spatial
    for row in range(4):
        for column in range(6):
            block = x[..., row // 2 * 2 : row // 2 * 2 + 2, column // 2 * 2 : column // 2 * 2 + 2]
            torch.testing.assert_close(told[..., row, column], block.mean((2, 3)))


@pytest.mark.parametrize("shape", [(2,), (1, 8, 7)])
def test_a_factor_that_does_not_divide_is_refused(shape):
    with pytest.raises(DiffkitError, match="cannot be 2 times smaller"):
        create("conditioner", "low_resolution", shape=shape)


@pytest.mark.parametrize("denoiser", ["unet", "dit", "mlp"])
def test_a_small_picture_and_the_large_one_it_came_from_ask_for_the_same(denoiser):
    config = small.choices("none") | {
        "conditioner": {"low_resolution": {"_part_": "low_resolution"}},
        "denoiser": {"_part_": denoiser, "width": 8},
    }
    torch.manual_seed(0)
    model = build_model(config, SPEC)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    large = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(1)) * 16
    little = large.reshape(2, 1, 4, 2, 4, 2).mean((3, 5))
    columns = [editing(model, SPEC, {"input": rows}).columns for rows in (large, little)]
    x_t, t = torch.randn(2, 1, 8, 8), torch.tensor(0.5, dtype=torch.float64)
    with torch.no_grad():
        answers = [model.denoise(x_t, t, model.conditioners(column, 2)) for column in columns]
        null = model.denoise(x_t, t, model.conditioners.null(2))
    torch.testing.assert_close(answers[0], answers[1], rtol=0, atol=1e-4)
    assert (answers[0] - null).abs().max() > 1e-3 and (answers[0][0] - answers[0][1]).abs().max() > 1e-3


def test_only_a_model_that_enlarges_takes_small_pictures():
    little = torch.ones(1, 1, 4, 4)
    assert given_rows(little, SPEC, smaller=True).shape == (1, 1, 8, 8)
    for rows, smaller in ((little, False), (torch.ones(1, 1, 3, 4), True), (torch.ones(1, 1, 2, 4), True)):
        with pytest.raises(DiffkitError, match=r"must be \(rows, 1, 8, 8\)"):
            given_rows(rows, SPEC, smaller)
