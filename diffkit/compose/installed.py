"""Which plugins are installed, by the metadata of their distributions; nothing of them is imported."""

import os
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, EntryPoint, distributions

from diffkit.core.errors import DiffkitError, DiffkitWarning, nearest

GROUP = "diffkit"
"""The group of entry points that names plugins."""


class PluginWarning(DiffkitWarning):
    """A plugin was skipped, or is another one than a run was made with."""


@dataclass(frozen=True)
class Found:
    """An entry point, and the distribution that it belongs to."""

    distribution: str
    version: str
    point: EntryPoint

    @property
    def standard(self) -> bool:
        """Whether it came with diffkit; somebody else's distribution may have the same name."""
        return canonical(self.distribution) == "diffkit" and self.point.value.startswith("diffkit.")


def canonical(distribution: str) -> str:
    """A distribution's name as pip compares it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def installed() -> list[Found]:
    """Every plugin's entry point, the standard one first; of two copies of a distribution, the first on the path.

    Raises `DiffkitError` if diffkit's own is not among them.
    """
    first: dict[tuple[str, bool], str] = {}
    found: list[Found] = []
    for distribution in distributions():
        for one in _points(distribution):
            place = str(distribution.locate_file(""))
            if first.setdefault((canonical(one.distribution), one.standard), place) == place:
                found.append(one)
    if not any(one.standard for one in found):
        raise DiffkitError("diffkit's own parts are not installed: its entry point is missing; install diffkit again.")
    return sorted(found, key=lambda one: (not one.standard, canonical(one.distribution), one.point.name))


def _points(distribution: Distribution) -> Iterator[Found]:
    """The plugins of a distribution; most have none, and are not read any further than to see that."""
    listed = distribution.read_text("entry_points.txt") or ""
    if f"[{GROUP}]" not in listed:
        return
    name, version = _name(distribution)
    try:
        points = list(distribution.entry_points.select(group=GROUP))
    except Exception as error:  # not what a build tool writes
        message = f"the plugin {name} {version} is skipped: its entry points cannot be read ({error})"
        warnings.warn(message, PluginWarning, stacklevel=2)
        return
    for point in points:
        yield Found(name, version, point)


def _name(distribution: Distribution) -> tuple[str, str]:
    """Name and version: two lines of the head, where reading all of it (a README is in it) takes a millisecond."""
    text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
    head = text.partition("\n\n")[0]
    name, version = (re.search(rf"^{key}:\s*(\S+)", head, re.MULTILINE) for key in ("Name", "Version"))
    return name[1] if name else "unknown", version[1] if version else ""


def allowed(found: Sequence[Found]) -> set[str]:
    """The names and distributions that `DIFFKIT_PLUGINS` names, or all where it is not set."""
    known = {name for one in found for name in (one.point.name, one.distribution)}
    wish = os.environ.get("DIFFKIT_PLUGINS")
    if wish is None:
        return known
    names = {name.strip() for name in wish.split(",") if name.strip()}
    for name in sorted(names - known):
        warnings.warn(f"DIFFKIT_PLUGINS names {name!r}: {nearest(name, known)}", PluginWarning, stacklevel=4)
    return names
