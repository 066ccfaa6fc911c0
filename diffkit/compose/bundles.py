"""Bundles that plugins ship, by name: `run=<name>` where there is no such path."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from diffkit.compose.hooks import NamedBundle
from diffkit.compose.plugins import Plugin
from diffkit.compose.registry import registry
from diffkit.compose.sources import find
from diffkit.core.errors import DiffkitError, nearest


@dataclass(frozen=True)
class Shipped:
    """A bundle and the plugin that ships it."""

    bundle: NamedBundle
    plugin: Plugin

    @property
    def qualified(self) -> str:
        """The name that no other plugin can claim: `plugin/name`."""
        return f"{self.plugin.name}/{self.bundle.name}"

    @property
    def folder(self) -> Path:
        """Where it is; raises `DiffkitError` if it is not there."""
        package, _, inner = self.bundle.folder.partition(":")
        found = find(package)
        for root in (found.submodule_search_locations if found else None) or ():
            if (Path(root) / inner).is_dir():
                return Path(root) / inner
        raise DiffkitError(
            f"the bundle {self.bundle.name!r} of {self.plugin} is not where it says, in {self.bundle.folder}: "
            "install it again"
        )

    @property
    def out(self) -> Path:
        """The folder for what is made of it, below the present one: where it was installed is no place for that."""
        short = names().get(self.bundle.name) == self
        return Path("runs") / f"bundle-{self.bundle.name if short else self.qualified.replace('/', '-')}"


def names() -> dict[str, Shipped]:
    """What plugins ship, by the names that it may be called by: qualified where two plugins claim the short one."""
    every = [Shipped(bundle, plugin) for plugin in registry().plugins for bundle in plugin.bundles]
    claims = Counter(shipped.bundle.name for shipped in every)
    return {s.bundle.name if claims[s.bundle.name] == 1 else s.qualified: s for s in every}


def shipped(run: str | Path) -> Shipped | None:
    """The bundle that `run` names; None if it is a path that exists, or no name of a bundle.

    Raises `DiffkitError` if two plugins claim the name.
    """
    if Path(run).expanduser().exists():
        return None
    found = [s for s in names().values() if str(run) in (s.bundle.name, s.qualified)]
    if len(found) > 1:
        which = " and ".join(f"{s.plugin} (run={s.qualified})" for s in found)
        raise DiffkitError(f"run={run} is claimed by {which}: choose one by its qualified name.")
    return found[0] if found else None


def hint(run: str | Path) -> str:
    """A clause for an error: which bundles there are beside the paths; nothing for a path with folders in it."""
    known = names() if len(Path(run).parts) == 1 else {}
    if str(run) in known:
        return f"; the bundle of this name, since a path of the name comes first, is run={known[str(run)].qualified}"
    return f"; of the bundles that plugins ship, {nearest(str(run), known)}" if known else ""
