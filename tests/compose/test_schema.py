"""Every key there is, from the signatures themselves: their defaults are allowed, and whole numbers have a range."""

from typing import Any

import pytest

from diffkit.compose.build import check_values
from diffkit.compose.registry import registry
from diffkit.compose.source import node
from diffkit.compose.values import describe, hyperparameters

KEYS = [
    pytest.param(kind, name, parameter, id=f"{kind}-{name}-{parameter.name}")
    for kind in registry().kinds
    for name in registry().names(kind)
    for parameter in hyperparameters(registry().load(kind, name)).values()
]


def required(cls: type[Any]) -> dict[str, str]:
    """A text for each key without a default: what there is of these names a run."""
    return {name: "runs/x" for name, p in hyperparameters(cls).items() if p.required}


@pytest.mark.parametrize(("kind", "name", "parameter"), KEYS)
def test_every_default_is_allowed(kind: str, name: str, parameter: Any) -> None:
    cls = registry().load(kind, name)
    values = node(kind, name, required(cls))
    check_values("place", registry().entry(kind, name), cls, {str(k): v for k, v in values.items() if k != "_part_"})


@pytest.mark.parametrize(("kind", "name", "parameter"), KEYS)
def test_whole_numbers_have_a_range(kind: str, name: str, parameter: Any) -> None:
    assert not describe(parameter.hint).endswith("a whole number"), "use Count, Natural, or Annotated[int, Range(...)]"
