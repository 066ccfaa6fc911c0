"""Whether a class is what its kind asks for, found before anything of it is called."""

import inspect
from difflib import get_close_matches
from functools import cache
from typing import Any

from diffkit.core.errors import DiffkitError


@cache
def refuse_unfit(who: str, cls: type[Any], interface: type[Any]) -> None:
    """Raise `DiffkitError` for a class that does not implement the interface.

    It must inherit from it, have each of its abstract methods, and take in each what the interface's takes, by the same
    names: in another order they would be other things. `who` says which part it is, and whose. What was found fit is
    not looked at again.
    """
    if not issubclass(cls, interface):
        raise DiffkitError(f"The {who} is no {interface.__name__}: {cls.__qualname__} must inherit from it.")
    if inspect.isabstract(cls):
        missing = ", ".join(_written(cls, name) + _meant(cls, name) for name in sorted(cls.__abstractmethods__))
        raise DiffkitError(f"The {who} is not complete: {cls.__qualname__} lacks {missing}.")
    for name in sorted(getattr(interface, "__abstractmethods__", ())):
        wanted, given = inspect.getattr_static(interface, name), inspect.getattr_static(cls, name)
        if isinstance(wanted, property):
            if inspect.isroutine(given):
                raise DiffkitError(f"The {who} does not fit: {cls.__qualname__}.{name} must be a property, no method.")
        elif not _accepts(given, wanted, cls):
            raise DiffkitError(
                f"The {who} does not fit: {cls.__qualname__}.{_written(cls, name)} must take what "
                f"{interface.__name__}.{_written(interface, name)} takes, by the same names."
            )


def _meant(cls: type[Any], name: str) -> str:
    """What the class has that may be a misspelt method; nothing where there is no such name."""
    near = get_close_matches(name, [own for own in vars(cls) if own not in dir(cls.__base__)])
    return f" (is its {near[0]!r} meant?)" if near else ""


def _accepts(given: Any, wanted: Any, cls: type[Any]) -> bool:
    """Whether a method can be called as the interface calls its own: by position, with and without what is optional."""
    try:
        ours, theirs = inspect.signature(_bound(wanted, cls)), inspect.signature(_bound(given, cls))
    except TypeError:  # no method at all
        return False
    except ValueError:  # compiled code that does not tell
        return True
    places = list(ours.parameters.values())
    required = [p for p in places if p.default is p.empty]
    try:
        theirs.bind(*places)
        theirs.bind(*required)
    except TypeError:
        return False
    named = [
        p.name.strip("_") for p in theirs.parameters.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    return all(p.name == name for p, name in zip(places, named, strict=False))


def _bound(method: Any, cls: type[Any]) -> Any:
    """A method as it is called on an object, without `self`; there is no object yet."""
    bind = getattr(method, "__get__", None)
    return bind(object(), cls) if bind else method


def _written(cls: type[Any], name: str) -> str:
    """A method's name with the names of its arguments: `steps(self, denoise, schedule, x, times, noise)`."""
    member = inspect.getattr_static(cls, name)
    if not inspect.isroutine(member):
        return name
    try:
        return f"{name}({', '.join(map(_parameter, inspect.signature(getattr(cls, name)).parameters.values()))})"
    except ValueError:
        return name


def _parameter(parameter: inspect.Parameter) -> str:
    optional = "" if parameter.default is parameter.empty else "=..."
    return f"{parameter.replace(annotation=parameter.empty, default=parameter.empty)}{optional}"
