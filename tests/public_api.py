"""The public names with their signatures, a line each: `python tests/public_api.py` writes them into public_api.txt."""

import inspect
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from diffkit.compose.hooks import Hooks
from diffkit.pipeline import Pipeline, Samples

FILE = Path(__file__).with_suffix(".txt")
_LONG = 40
MODULES = ("diffkit", "diffkit.core", "diffkit.testing", "diffkit.run", "diffkit.standard.data")


def listing() -> list[str]:
    """Every public name; of a class its constructor and its public members, other classes' members too."""
    named = [(f"{m}.{name}", getattr(import_module(m), name)) for m in MODULES for name in import_module(m).__all__]
    named += [(f"diffkit.pipeline.{cls.__name__}", cls) for cls in (Pipeline, Samples)]
    hooks = [line for line in _members("hook", Hooks) if line.startswith("hook.diffkit_")]
    return [*(line for name, value in named for line in _lines(name, value)), *hooks]


def _lines(name: str, value: Any) -> Iterator[str]:
    if isinstance(value, type) and value.__module__.startswith("diffkit."):
        yield name if issubclass(value, Exception) else f"{name}{_signature(value)}"
        yield from _members(name, value)
    elif inspect.isroutine(value):
        yield f"{name}{_signature(value)}"
    else:
        yield name


def _members(owner: str, cls: type[Any]) -> Iterator[str]:
    """What is defined in the class or in a base of ours, not in torch's or Lightning's."""
    ours = [base for base in cls.__mro__ if base.__module__.startswith("diffkit.")]
    names = {name for base in ours for name in [*vars(base), *inspect.get_annotations(base)]}
    for name in sorted(name for name in names if not name.startswith("_") or name == "__call__"):
        member = inspect.getattr_static(cls, name, None)  # None for a field without a default
        abstract = "abstract " if getattr(member, "__isabstractmethod__", False) else ""
        called = member.__func__ if isinstance(member, classmethod | staticmethod) else member
        yield f"{abstract}{owner}.{name}" + (_signature(called) if inspect.isroutine(called) else "")


def _signature(value: Any) -> str:
    """Names and defaults; annotations are left out, since they are written in many ways."""
    words, star = list[str](), False
    for p in inspect.signature(value).parameters.values():
        if p.kind is p.KEYWORD_ONLY and not star:
            words.append("*")
        star = star or p.kind in (p.KEYWORD_ONLY, p.VAR_POSITIONAL)
        mark = {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "")
        default = getattr(p.default, "__name__", repr(p.default))
        default = default if len(default) <= _LONG else "..."
        words.append(f"{mark}{p.name}" + ("" if p.default is p.empty else f"={default}"))
    return f"({', '.join(words)})"


if __name__ == "__main__":
    FILE.write_text("\n".join(listing()) + "\n", encoding="utf-8")
