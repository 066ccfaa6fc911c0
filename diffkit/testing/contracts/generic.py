"""Contracts of every registered part, of a kind that a plugin brings, too."""

from diffkit.compose.registry import registry
from diffkit.compose.source import node
from diffkit.testing.contracts.hold import table
from diffkit.testing.contracts.require import require
from diffkit.testing.contracts.value import check_value
from diffkit.testing.settings import Setting


def interface(setting: Setting) -> None:
    """Its class can be imported, inherits from its kind's interface, and has every method that this asks for."""
    registry().load(setting.kind, setting.name)


def documented(setting: Setting) -> None:
    """Its class has a docstring, whose first sentence is its line in `diffkit list`."""
    cls = registry().load(setting.kind, setting.name)
    require(bool((cls.__doc__ or "").strip()), setting, f"the class {cls.__name__} has no docstring")


def composes(setting: Setting) -> None:
    """Its constructor's parameters make a config, so that they can be set on the command line."""
    node(setting.kind, setting.name, setting.values)


def value(part: object) -> None:
    """If it holds no tensors, it is a frozen dataclass of plain values, equal to a copy of itself."""
    check_value(part)


GENERIC = table(interface, documented, composes)
"""What is true of a part before it is built."""
ANY = table(value)
"""What is true of a part of a kind that diffkit does not know."""
