"""Every registered denoiser and conditioner against its contract."""

from functools import partial
from typing import Any

import pytest

from diffkit.compose.build import part
from diffkit.compose.registry import registry
from diffkit.core.condition import ConditionSpec
from diffkit.core.errors import DiffkitError
from diffkit.testing import check_conditioner, check_denoiser
from diffkit.testing.combinations import needs
from diffkit.testing.given import CONDITIONS, SHAPES, tiny


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
    shapes = accepted(name)
    assert shapes
    check_denoiser(partial(part, "denoiser", tiny("denoiser", name)), shapes, [condition])


def ours(name: str) -> bool:
    """What others' conditioners read and what they are for is known to their own tests."""
    return not needs("conditioner", name) and registry().load("conditioner", name).__module__.startswith("diffkit.")


@pytest.mark.parametrize("name", list(filter(ours, registry().names("conditioner"))))
def test_conditioner(name: str) -> None:
    check_conditioner(partial(part, "conditioner", tiny("conditioner", name)))
