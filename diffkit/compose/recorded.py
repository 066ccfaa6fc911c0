"""Which plugins made a run: recorded when it is saved, and held against those that are here when it is loaded."""

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffkit.compose.installed import PluginWarning, canonical
from diffkit.compose.nested import inner_parts
from diffkit.compose.plugins import Plugin
from diffkit.compose.registry import registry
from diffkit.compose.sources import digest
from diffkit.core.errors import DiffkitError


def record(config: Mapping[str, Any]) -> dict[str, Any]:
    """Every plugin that was loaded: distribution, version, digest of its source, and the uses of its parts.

    Uses are places in `config`, with kind and name of the part there: `{"sampler": "sampler=restart"}`.
    """
    used: dict[str, dict[str, str]] = {}
    for place, kind, name in _choices(config):
        entry = registry().entry(kind, name)
        used.setdefault(entry.plugin.name, {})[place] = f"{kind}={entry.component.name}"
    return {p.name: {**_identity(p), "uses": used.get(p.name, {})} for p in registry().plugins if p.usable}


def _identity(plugin: Plugin) -> dict[str, Any]:
    file = Path(plugin.module)
    if plugin.used and file.suffix:  # a path says something of this machine
        return {"file": file.name, "sha256": digest(plugin)}
    return {"distribution": plugin.distribution, "version": plugin.version, "sha256": digest(plugin)}


def _choices(config: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Place, kind and name of every part that a config chooses, parts within parts too."""
    for kind in registry().kinds.values():
        node = config.get(kind.name)
        nodes = {f"{kind.name}.{key}": inner for key, inner in (node or {}).items()} if kind.many else {kind.name: node}
        for place, choice in nodes.items():
            yield from _within(place, kind.name, choice)


def _within(place: str, kind: str, node: Any) -> Iterator[tuple[str, str, str]]:
    if not isinstance(node, Mapping) or not isinstance(node.get("_part_"), str):
        return
    yield place, kind, node["_part_"]
    for key, inner in inner_parts(registry().load(kind, node["_part_"])).items():
        yield from _within(f"{place}.{key}", inner, node.get(key))


@dataclass(frozen=True)
class Record:
    """What a run says of one plugin that made it."""

    distribution: str
    version: str
    file: str
    sha256: str | None
    uses: dict[str, tuple[str, str]]
    """Kind and name of its parts, by their place in the config."""

    def __str__(self) -> str:
        return f"the file {self.file}" if self.file else f"{self.distribution} {self.version}".strip()

    @property
    def remedy(self) -> str:
        """How to get it."""
        if self.file:
            return f"give that file with --plugin {self.file}, or diffkit.use({self.file!r})"
        if not self.version:
            return f"give it to diffkit.use, as the run's {self.distribution} did"
        return f'pip install "{self.distribution}=={self.version}", or pip install -e FOLDER if you have its source'

    def matches(self, plugin: Plugin) -> bool:
        """Whether a plugin is this one, of whatever version."""
        if self.file:
            return plugin.used and Path(plugin.module).name == self.file
        return canonical(plugin.distribution) == canonical(self.distribution)


def require(config: Mapping[str, Any], kinds: Sequence[str]) -> dict[str, Any]:
    """A saved config whose parts of these kinds are named so that the plugins that made the run answer.

    Others may claim their names by now. Raises `DiffkitError`, which says what to install, for plugins that are missing
    or of a version that may not do; warns of one that is newer, or whose source is another.
    """
    settled, faults = deepcopy(dict(config)), dict[str, str]()
    for made in _records(config):
        for place, (kind, name) in made.uses.items():
            node = _node(settled, place)
            if place.partition(".")[0] not in kinds or node is None:
                continue
            if str(node["_part_"]).rpartition("/")[2] != name:
                continue  # it was chosen anew
            try:
                plugin = _find(made, kind, name)
                _hold_against(made, plugin, kind, name)
            except DiffkitError as error:
                faults.setdefault(str(made), str(error))
            else:
                node["_part_"] = _unmistakable(plugin, kind, name)
    if faults:
        raise DiffkitError(f"{' '.join(faults.values())} (diffkit export gives the weights without any plugin.)")
    return settled


def vouched(config: Mapping[str, Any], plugin: Plugin) -> dict[str, Any]:
    """The config of a bundle that `plugin` ships: its record of the plugin is of the one that is here.

    A bundle comes with the plugin's source and is older than it; that they fit is for the plugin to see to.
    """
    settled = deepcopy(dict(config))
    made = settled.get("diffkit")
    plugins = made.get("plugins") if isinstance(made, dict) else None
    for said in plugins.values() if isinstance(plugins, dict) else ():
        if isinstance(said, dict) and canonical(str(said.get("distribution"))) == canonical(plugin.distribution):
            said |= {"version": plugin.version, "sha256": None}
    return settled


def _records(config: Mapping[str, Any]) -> Iterator[Record]:
    """The strangers' plugins in a config; a file may say anything, and what is no record is none."""
    made = config.get("diffkit")
    plugins = made.get("plugins") if isinstance(made, Mapping) else None
    for said in plugins.values() if isinstance(plugins, Mapping) else ():
        if not isinstance(said, Mapping) or not isinstance(said.get("uses"), Mapping):
            continue
        parts = {str(place): str(use).partition("=") for place, use in said["uses"].items()}
        uses = {place: (kind, name) for place, (kind, _, name) in parts.items()}
        texts = [str(said.get(key) or "") for key in ("distribution", "version", "file", "sha256")]
        if canonical(texts[0]) != "diffkit":
            yield Record(texts[0], texts[1], texts[2], texts[3] or None, uses)


def _node(config: dict[str, Any], place: str) -> dict[str, Any] | None:
    node: Any = config
    for key in place.split("."):
        node = node.get(key) if isinstance(node, dict) else None
    return node if isinstance(node, dict) and "_part_" in node else None


def _find(made: Record, kind: str, name: str) -> Plugin:
    """The plugin of a record; raises `DiffkitError` if it is not here, or does not offer the part any more."""
    here = [plugin for plugin in registry().plugins if made.matches(plugin)]
    for plugin in here:
        if any((c.kind, c.name) == (kind, name) for c in plugin.components):
            return plugin
    why = "which is not installed"
    if made.file or not made.version:
        why = "which is not in use here"
    for plugin in here:
        why = f"and {plugin}, which is installed, does not offer it"
        why = f"which could not be loaded: {plugin.error}" if plugin.error else why
        why = "which DIFFKIT_PLUGINS leaves out" if plugin.blocked else why
    remedy = "name it there" if any(plugin.blocked for plugin in here) else made.remedy
    raise DiffkitError(f"The run was made with the {kind} {name!r} of {made}, {why}: {remedy}.")


def _hold_against(made: Record, plugin: Plugin, kind: str, name: str) -> None:
    """Raise `DiffkitError` for an older version, or one that semantic versioning lets differ; warn of other changes."""
    other = not made.file and plugin.version != made.version
    before, now = _numbers(made.version), _numbers(plugin.version)
    if other and before and now and (now < before or _generation(now) != _generation(before)):
        age = "older" if now < before else "newer by more than additions"
        raise DiffkitError(
            f"The run was made with the {kind} {name!r} of {made}, and {plugin}, which is installed, is {age}:"
            f" {made.remedy}."
        )
    what = f"so its {kind} {name!r} may act otherwise"
    if other:
        message = f"the run was made with {made}, and {plugin} is installed, {what}"
    elif made.sha256 and digest(plugin) not in (None, made.sha256):
        message = f"the source of {made} has changed since the run was made, {what}"
    else:
        return
    warnings.warn(message, PluginWarning, stacklevel=1)


def _numbers(version: str) -> tuple[int, ...]:
    """1.2.3 of 1.2.3rc1; none for what does not begin with a number."""
    found = re.match(r"\d{1,9}(\.\d{1,9})*", version)
    return tuple(map(int, found[0].split("."))) if found else ()


def _generation(numbers: tuple[int, ...]) -> tuple[int, ...]:
    """What stays the same while nothing is taken away: the first number, or 0 and the second."""
    return numbers[:1] if numbers[0] else numbers[:2]


def _unmistakable(plugin: Plugin, kind: str, name: str) -> str:
    """The short name where it is the plugin's own, else the qualified one."""
    entries = zip(registry().names(kind), registry().entries(kind), strict=True)
    return next(shown for shown, e in entries if e.plugin == plugin and e.component.name == name)
