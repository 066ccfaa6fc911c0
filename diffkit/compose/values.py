"""Hyperparameters: read from a constructor's signature, and checked against its annotations."""

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from diffkit.core.errors import DiffkitError

INJECTED = frozenset(
    {
        "shape",
        "condition",
        "classes",
        "schedule",
        "seed",
        "data",
        "model",
        "density",
        "weighting",
        "optimizer",
        "condition_dropout",
        "spec",
        "load_model",
    }
)
"""Parameters of these names are given by the build, as a fixture is by its name; all others are hyperparameters."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of a constructor."""

    name: str
    hint: Any
    default: Any
    """`inspect.Parameter.empty` if there is none."""

    @property
    def required(self) -> bool:
        """Whether it has no default."""
        return self.default is inspect.Parameter.empty


def parameters(cls: type[Any]) -> dict[str, Parameter]:
    """The named parameters of a constructor; `*args` and `**kwargs`, as `nn.Module`'s own has, are no keys."""
    return {parameter.name: parameter for parameter in _named(cls)}  # type: ignore[arg-type]  # a class is hashable


@cache
def _named(cls: Any) -> tuple[Parameter, ...]:
    hints = get_type_hints(cls.__init__, include_extras=True)
    return tuple(
        Parameter(name, hints.get(name, Any), p.default)
        for name, p in inspect.signature(cls).parameters.items()
        if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    )


def hyperparameters(cls: type[Any]) -> dict[str, Parameter]:
    """The parameters of a constructor that are config keys."""
    return {name: p for name, p in parameters(cls).items() if name not in INJECTED}


def convert(key: str, value: Any, hint: Any) -> Any:
    """`value` as `hint` wants it (a whole number as a float, a list as a tuple).

    Raises `DiffkitError`, which names `key`, the value and what is allowed, where it does not fit. Other hints are not
    checked.
    """
    try:
        return _fit(value, hint)
    except ValueError:
        shown = "null" if value is None else str(value).lower() if isinstance(value, bool) else value
        raise DiffkitError(f"{key}={shown} is not allowed: {key} must be {describe(hint)}.") from None


def _fit(value: Any, hint: Any) -> Any:
    """`convert` without the message: raises ValueError."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        value = _fit(value, args[0])
        _require(all(value in limit for limit in args[1:] if callable(getattr(type(limit), "__contains__", None))))
        return value
    if origin in (Union, UnionType):
        return _fit_any(value, args)
    if origin is Literal:
        _require(value in args and type(value) in [type(a) for a in args])
        return value
    if origin in (list, tuple, Sequence) or hint in (list, tuple, Sequence):
        return _fit_list(value, origin or hint, args)
    if hint is float:
        _require(isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value))
        return float(value)
    if hint is str and type(value) in (int, float):
        return str(value)  # a bare 7 on the command line is a number, and may be meant as a text
    if hint in (int, str, bool, NoneType):
        _require(type(value) is hint)
    elif origin in (dict, Mapping) or hint in (dict, Mapping):
        _require(isinstance(value, Mapping))
    elif isinstance(hint, type) and hint not in (object, Any):
        _require(isinstance(value, hint | Mapping))  # an object: a mapping may stand for it
    return value


def _require(fits: bool) -> None:
    if not fits:
        raise ValueError


def _fit_any(value: Any, hints: Sequence[Any]) -> Any:
    for hint in hints:
        try:
            return _fit(value, hint)
        except ValueError:
            continue
    raise ValueError


def _fit_list(value: Any, origin: Any, args: tuple[Any, ...]) -> Any:
    _require(isinstance(value, Sequence) and not isinstance(value, str))
    if origin is tuple and args and args[-1] is not Ellipsis:
        _require(len(value) == len(args))
        hints = list(args)
    else:
        hints = [args[0] if args else Any] * len(value)
    items = [_fit(item, hint) for item, hint in zip(value, hints, strict=True)]
    return tuple(items) if origin is tuple else items


_WORDS = {int: "a whole number", float: "a finite number", bool: "true or false", str: "text", NoneType: "null"}


def describe(hint: Any) -> str:
    """What a hint allows, in words: `a whole number, at least 1`."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return ", ".join([describe(args[0]), *(str(limit) for limit in args[1:])])
    if origin in (Union, UnionType):
        return " or ".join(describe(a) for a in args if a in _WORDS or not isinstance(a, type))
    if origin is Literal:
        return f"one of {', '.join(map(str, args))}"
    if origin is tuple and args and args[-1] is not Ellipsis:
        return f"a list of {len(args)} values ({'; '.join(describe(a) for a in args)})"
    if origin in (list, tuple, Sequence):
        return f"a list, each of which is {describe(args[0])}"
    return _WORDS.get(hint, "a mapping" if origin in (dict, Mapping) else getattr(hint, "__name__", str(hint)))
