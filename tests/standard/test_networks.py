"""Every registered denoiser and conditioner against its contract."""

from typing import Any

import pytest
import torch

from diffkit.compose.build import part
from diffkit.compose.registry import registry
from diffkit.core.condition import ConditionSpec
from diffkit.core.errors import DiffkitError
from diffkit.testing.combinations import tiny
from diffkit.testing.contracts import check_conditioner, check_denoiser

SHAPES = [(1, 8, 8), (3, 4, 6), (2,), (5,), (2, 12), (1, 4, 4, 4)]
CONDITIONS = [ConditionSpec(), ConditionSpec(vector=3), ConditionSpec(sequence=4), ConditionSpec(5, 4)]


def accepted(name: str) -> list[Any]:
    """The shapes that a network is made for; a refusal must be one sentence."""
    shapes = []
    for shape in SHAPES:
        try:
            part("denoiser", tiny("denoiser", name), shape=shape, condition=ConditionSpec())
        except DiffkitError as error:
            assert "\n" not in str(error) and str(shape) in str(error), error
        else:
            shapes.append(shape)
    return shapes


@pytest.mark.parametrize("condition", CONDITIONS, ids=["none", "vector", "sequence", "both"])
@pytest.mark.parametrize("name", registry().names("denoiser"))
def test_denoiser(name: str, condition: ConditionSpec) -> None:
    torch.manual_seed(0)
    shapes = accepted(name)
    assert shapes
    for shape in shapes:
        check_denoiser(part("denoiser", tiny("denoiser", name), shape=shape, condition=condition), shape, condition)


BATCH = {"label": torch.tensor([3, 0, 3, 9]), "text": ["three", "", "a handwritten 3", "nine or ten"]}


@pytest.mark.parametrize("name", registry().names("conditioner"))
def test_conditioner(name: str) -> None:
    torch.manual_seed(0)
    check_conditioner(part("conditioner", tiny("conditioner", name), classes=10, shape=(1, 8, 8)), BATCH)
