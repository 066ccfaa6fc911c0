"""Parts within parts: a constructor's parameter that is annotated with a kind's interface takes a part of its own.

In a config it is a node of the same form as any part's; in Hydra it is chosen by `<kind>@<key>=<name>`.
"""

from collections.abc import Mapping
from typing import Any

from diffkit.compose.registry import registry
from diffkit.compose.values import Parameter, hyperparameters
from diffkit.core.errors import DiffkitError


def kind_of(hint: Any) -> str | None:
    """The kind whose parts `hint` asks for; None if it is no interface."""
    if not isinstance(hint, type):
        return None
    # by name first: an interface of the same name is imported to see whether it is this class, and no other
    named = [name for name, kind in registry().kinds.items() if kind.interface.partition(":")[2] == hint.__name__]
    return next((name for name in named if registry().interface(name) is hint), None)


def inner_parts(cls: type[Any]) -> dict[str, str]:
    """The parameters of a constructor that are parts themselves, each with its kind."""
    return {name: kind for name, p in hyperparameters(cls).items() if (kind := kind_of(p.hint)) is not None}


def default_part(owner: str, kind: str, parameter: Parameter) -> str | None:
    """The name of the part that a parameter has by default; None if it must be chosen.

    Raises `DiffkitError` for a default that a config cannot name: not registered, or with other hyperparameters than
    its own defaults. `owner` says whose parameter it is.
    """
    if parameter.required:
        return None
    cls = type(parameter.default)
    name = registry().name_of(kind, cls)
    if name is None or parameter.default != cls():
        raise DiffkitError(
            f"{owner}: the default of {parameter.name}, {parameter.default}, cannot be a config: it must be a "
            f"registered {kind}, made without arguments."
        )
    return name


def as_node(value: Any) -> Any:
    """A part's name as the node of that part; anything else as it is."""
    return {"_part_": value} if isinstance(value, str) else value


def how_to_choose(kind: str, key: str) -> str:
    """How the part at `key` is chosen on the command line."""
    return f"choose it with {kind}@{key}=NAME ({', '.join(registry().names(kind))})"


def flat(values: Mapping[str, Any], place: str = "") -> dict[str, Any]:
    """The values of a node with the keys of parts within it dotted, and their names in the place of their nodes."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and "_part_" in value:
            found[f"{place}{key}"] = value["_part_"]
            found |= flat({k: v for k, v in value.items() if k != "_part_"}, f"{place}{key}.")
        else:
            found[f"{place}{key}"] = value
    return found
