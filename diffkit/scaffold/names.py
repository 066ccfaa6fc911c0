"""What a plugin is called, in each of the places where it has a name."""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from keyword import iskeyword

from diffkit.compose.registry import KINDS
from diffkit.core.errors import DiffkitError, nearest

_TAKEN = frozenset({"diffkit", "tests"})


@dataclass(frozen=True)
class Names:
    """The names of one plugin: `my-sampler`, `my_sampler`, `sampler=my_sampler`, `MySampler`."""

    distribution: str
    module: str
    part: str
    """Of every part, and of the entry point: the module's name without a leading `diffkit_`."""
    camel: str

    def cls(self, kind: str, taken: str = "") -> str:
        """The class of the part of a kind: `MySampler` for `my-sampler`, `MySamplerGrid` for a grid in it.

        It is no word of `taken`, the code that it is to stand in.
        """
        name = self.camel if self.camel.lower().endswith(kind) else self.camel + kind.title()
        return f"My{name}" if re.search(rf"\b{name}\b", taken) else name


def names(distribution: str) -> Names:
    """The names of a plugin; raises `DiffkitError` for one that no package can have."""
    if not re.fullmatch(r"[A-Za-z]([A-Za-z0-9._-]*[A-Za-z0-9])?", distribution):
        raise DiffkitError(
            f"A plugin cannot be called {distribution!r}: a name begins with a letter, goes on with letters, digits, "
            "'-', '_' and '.', and does not end with one of these three, as in my-sampler."
        )
    module = re.sub(r"[-_.]+", "_", distribution).lower()
    part = module.removeprefix("diffkit_")
    why = _why_not(module)
    if why:
        raise DiffkitError(f"A plugin cannot be called {distribution!r}: {module} is {why}; choose another name.")
    words = [word for word in re.split(r"[-_.]+", distribution) if word]
    words = words[1:] if module != part else words
    return Names(distribution, module, part, "".join(word[0].upper() + word[1:] for word in words))


def _why_not(module: str) -> str:
    """What else the module's name is already; nothing if it is free."""
    if iskeyword(module):
        return "a keyword of Python's"
    if module in sys.stdlib_module_names:
        return "a module of Python's own"
    if module in _TAKEN:
        return "a name that every plugin has in use"
    found = find_spec(module)
    return "an installed package" if found and found.origin else ""


def kinds_of(values: Sequence[str]) -> list[str]:
    """The kinds asked for, each once, in the order in which a run is built; `values` may hold several with commas.

    Raises `DiffkitError` for an unknown one, or for none.
    """
    known = [kind.name for kind in KINDS]
    asked = [kind.strip() for value in values for kind in value.split(",") if kind.strip()]
    for kind in asked:
        if kind not in known:
            raise DiffkitError(f"There is no kind {kind!r}: {nearest(kind, known)}")
    if not asked:
        raise DiffkitError(f"Say what kind of part it brings: --kind sampler (or several of {', '.join(known)}).")
    return [kind for kind in known if kind in asked]
