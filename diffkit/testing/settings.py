"""The settings in which a part is verified: its defaults, and each choice that makes it another method."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin

from diffkit.compose.registry import registry
from diffkit.compose.values import Parameter, hyperparameters
from diffkit.core.errors import DiffkitError
from diffkit.core.types import Range

FEW = 6
"""An `order` of at most so many values is tried at each of them."""


@dataclass(frozen=True)
class Setting:
    """A registered part, and the hyperparameters that differ from its defaults."""

    kind: str
    name: str
    values: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.kind}={self.name} {written(self.values)}".rstrip()


def settings_of(kind: str, name: str) -> list[Setting]:
    """A part in all its settings; one that cannot be imported has a single one, which fails and says why.

    Raises `DiffkitError` for an unknown kind or name.
    """
    registry().entry(kind, name)
    try:
        found = settings(registry().load(kind, name))
    except DiffkitError:
        found = [{}]
    return [Setting(kind, name, values) for values in found]


def settings(cls: type[Any]) -> list[dict[str, Any]]:
    """Hyperparameters to build a part with: none; each other value of a `Literal`; `eta` at 0 and 1; each `order`."""
    return [{}, *({p.name: v} for p in hyperparameters(cls).values() for v in _values(p) if v != p.default)]


def _values(parameter: Parameter) -> Iterable[Any]:
    if get_origin(parameter.hint) is Literal:
        return get_args(parameter.hint)
    if parameter.name == "eta":
        return (0.0, 1.0)
    if parameter.name == "order" and get_origin(parameter.hint) is Annotated:
        return _whole(*get_args(parameter.hint))
    return ()


def _whole(hint: Any, *limits: Any) -> Iterable[int]:
    """Every whole number that is allowed, where they are few."""
    ranges = [limit for limit in limits if isinstance(limit, Range) and limit.high - limit.low < FEW]
    return range(int(ranges[0].low), int(ranges[0].high) + 1) if hint is int and ranges else ()


def written(values: dict[str, Any]) -> str:
    """Settings as on the command line: `eta=1 kind=sde`."""
    return " ".join(f"{name}={format(v, 'g') if isinstance(v, float) else v}" for name, v in values.items())
