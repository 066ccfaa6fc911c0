"""Every key there is, from the signatures themselves: wrong values are refused by key, typos by the nearest name."""

import random
from typing import Annotated, Any, get_args, get_origin

import pytest
from omegaconf import DictConfig

from diffkit import compose
from diffkit.compose.build import check_values
from diffkit.compose.nested import kind_of
from diffkit.compose.registry import registry
from diffkit.compose.source import node
from diffkit.compose.values import describe, hyperparameters
from diffkit.core.errors import DiffkitError
from diffkit.core.types import Range

KEYS = [
    pytest.param(kind, name, parameter, id=f"{kind}-{name}-{parameter.name}")
    for kind in registry().kinds
    for name in registry().names(kind)
    for parameter in hyperparameters(registry().load(kind, name)).values()
]


def beyond(hint: Any) -> list[Any]:
    """Numbers just outside of a hint's range."""
    limits = (
        [limit for limit in get_args(hint)[1:] if isinstance(limit, Range)] if get_origin(hint) is Annotated else []
    )
    low = [limit.low - (0 if limit.open else 1e-9 if get_args(hint)[0] is float else 1) for limit in limits]
    return [x for x in [*low, *(limit.high + 1 for limit in limits)] if abs(x) != float("inf")]


def required(cls: type[Any]) -> dict[str, str]:
    """A text for each key without a default: what there is of these names a run."""
    return {name: "runs/x" for name, p in hyperparameters(cls).items() if p.required}


@pytest.mark.parametrize(("kind", "name", "parameter"), KEYS)
def test_no_key_takes_a_value_outside_of_its_range(kind: str, name: str, parameter: Any) -> None:
    cls, entry = registry().load(kind, name), registry().entry(kind, name)
    text = str in (parameter.hint, *get_args(parameter.hint))  # a number is a text too
    numbers = [float("nan"), float("inf"), -float("inf"), *beyond(parameter.hint)]
    for value in [[[]], object(), *[True] * (parameter.hint is not bool), *([] if text else numbers)]:
        with pytest.raises(DiffkitError) as caught:
            check_values("place", entry, cls, {**required(cls), parameter.name: value})
        inner = kind_of(parameter.hint)
        allowed = describe(parameter.hint) if inner is None else f"must be a {inner}"
        assert f"place.{parameter.name}" in str(caught.value) and allowed in str(caught.value)


@pytest.mark.parametrize(("kind", "name", "parameter"), KEYS)
def test_every_default_is_allowed(kind: str, name: str, parameter: Any) -> None:
    cls = registry().load(kind, name)
    values = node(kind, name, required(cls))
    check_values("place", registry().entry(kind, name), cls, {str(k): v for k, v in values.items() if k != "_part_"})


@pytest.mark.parametrize(("kind", "name", "parameter"), KEYS)
def test_whole_numbers_have_a_range(kind: str, name: str, parameter: Any) -> None:
    assert not describe(parameter.hint).endswith("a whole number"), "use Count, Natural, or Annotated[int, Range(...)]"


def keys(cfg: DictConfig, place: str = "") -> list[str]:
    """Every key of a config, dotted."""
    found = []
    for name, value in cfg.items():
        key = f"{place}{name}"
        found += keys(value, f"{key}.") if isinstance(value, DictConfig) and len(value) else [key]
    return [key for key in found if not key.endswith(("_part_", "_target_"))]


def misspell(key: str, dice: random.Random) -> str:
    """One slip of the fingers in the last name: a letter left out, doubled, or two swapped."""
    place, dot, name = key.rpartition(".")
    i = dice.randrange(len(name) - 1)
    slips = [name[:i] + name[i + 1 :], name[: i + 1] + name[i:], name[:i] + name[i + 1] + name[i] + name[i + 2 :]]
    return f"{place}{dot}{dice.choice([slip for slip in slips if slip != name])}"


def test_typos_get_the_right_name() -> None:
    dice = random.Random(0)
    right, typos = 0, [(key, misspell(key, dice)) for key in dice.sample(keys(compose()), 20)]
    for key, typo in typos:
        with pytest.raises(DiffkitError) as caught:
            compose([f"{typo}=1"])
        right += f"'{key.rpartition('.')[2]}'" in str(caught.value)
    assert right >= 18, f"{right} of {len(typos)}"
