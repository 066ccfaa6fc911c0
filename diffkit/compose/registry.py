"""The registry: from a kind and a name to the class that a plugin offers under it."""

import sys
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

from diffkit.compose.fit import refuse_unfit
from diffkit.compose.guard import contained
from diffkit.compose.hooks import Component, Kind
from diffkit.compose.installed import PluginWarning
from diffkit.compose.plugins import Plugin, distinct, load_plugins
from diffkit.core.errors import DiffkitError, nearest

KINDS = (
    Kind("data", "diffkit.core.data:Data"),
    Kind("codec", "diffkit.core.codec:Codec"),
    Kind("conditioner", "diffkit.core.conditioner:Conditioner", many=True),
    Kind("denoiser", "diffkit.core.denoiser:DenoiserNetwork"),
    Kind("prediction", "diffkit.core.prediction:Prediction"),
    Kind("schedule", "diffkit.core.schedule:Schedule"),
    Kind("density", "diffkit.core.objective:TimeDensity"),
    Kind("weighting", "diffkit.core.objective:Weighting"),
    Kind("task", "diffkit.run.module:Task"),
    Kind("sampler", "diffkit.core.sampler:Sampler"),
    Kind("grid", "diffkit.core.grid:Grid"),
    Kind("guidance", "diffkit.core.guidance:Guidance", many=True),
    Kind("features", "diffkit.core.features:Features"),
    Kind("metric", "diffkit.core.metric:AnyMetric", many=True),
)
"""The kinds that diffkit knows by itself, in the order in which a run is built."""


SAID = 3
"""So many broken plugins are named with the cause where a name is not found."""


@dataclass(frozen=True)
class Entry:
    """A component and the plugin that offers it."""

    component: Component
    plugin: Plugin

    @property
    def qualified(self) -> str:
        """The name that no other plugin can claim: `plugin/name`."""
        return f"{self.plugin.name}/{self.component.name}"

    def __str__(self) -> str:
        return f"{self.component.kind} {self.component.name!r} of {self.plugin}"


class Registry:
    """Everything on offer. Names are looked up short (`ddim`) or qualified (`my_plugin/ddim`).

    A short name that two plugins claim is an error that names both; a standard name stays the standard part's.
    """

    def __init__(self, plugins: Sequence[Plugin]) -> None:
        self.plugins: tuple[Plugin, ...] = ()
        self.kinds: dict[str, Kind] = {}
        self._entries: list[Entry] = []
        self._offer(plugins)

    def use(self, plugin: Plugin) -> None:
        """Offer what a plugin offers from now on, in the place of what was used from the same module before."""
        kept = [p for p in self.plugins if not (p.used and p.module == plugin.module)]
        self._offer([*kept, plugin])

    def _offer(self, plugins: Sequence[Plugin]) -> None:
        self.plugins = plugins = tuple(distinct(plugins))
        self.kinds = {kind.name: kind for kind in KINDS}
        owners: dict[str, str] = {}
        for plugin in plugins:
            for kind in plugin.kinds:
                owner = owners.setdefault(kind.name, "diffkit" if kind.name in self.kinds else str(plugin))
                if self.kinds.setdefault(kind.name, kind) != kind:
                    _warn(f"the plugin {plugin} brings a kind {kind.name!r}, but {owner} has another one of that name")
        entries = [Entry(c, p) for p in plugins for c in p.components]
        self._entries = [e for e in entries if e.component.kind in self.kinds]
        for entry in entries:
            name = entry.component.kind
            if name not in self.kinds:
                _warn(f"the {entry} is skipped: there is no kind {name!r}; {nearest(name, self.kinds)}")

    def kind(self, name: str) -> Kind:
        """The kind of this name; raises `DiffkitError` if there is none."""
        if name not in self.kinds:
            raise DiffkitError(f"There is no kind {name!r}: {nearest(name, self.kinds)}")
        return self.kinds[name]

    def entries(self, kind: str) -> list[Entry]:
        """What is offered of a kind, the standard parts first."""
        self.kind(kind)
        return [entry for entry in self._entries if entry.component.kind == kind]

    def names(self, kind: str) -> list[str]:
        """The names that may be chosen: short ones, and qualified ones where the short one is not theirs."""
        entries = self.entries(kind)
        return [e.component.name if self._owners(e) == [e] else e.qualified for e in entries]

    def _owners(self, entry: Entry) -> list[Entry]:
        """Who answers to the short name of `entry`: the standard part if it is one, else everyone who claims it."""
        claims = [e for e in self.entries(entry.component.kind) if e.component.name == entry.component.name]
        return [e for e in claims if e.plugin.standard] or claims

    def entry(self, kind: str, name: str) -> Entry:
        """The entry of this name; raises `DiffkitError` for an unknown or an ambiguous one."""
        entries = self.entries(kind)
        plugin, _, short = name.rpartition("/")
        found = [e for e in entries if e.component.name == short and plugin in (e.plugin.name, e.plugin.distribution)]
        if not plugin:
            claims = [e for e in entries if e.component.name == name]
            found = self._owners(claims[0]) if claims else []
        if not found:
            raise DiffkitError(self._unknown(kind, name))
        if len(found) > 1:
            which = " and ".join(f"{e.plugin} ({kind}={e.qualified})" for e in found)
            raise DiffkitError(f"{kind}={name} is claimed by {which}: choose one by its qualified name.")
        return found[0]

    def _unknown(self, kind: str, name: str) -> str:
        """Why nothing has this name, and which plugin might have had it."""
        owner, _, short = name.rpartition("/")
        named = [p for p in self.plugins if owner and owner in (p.name, p.distribution, p.claimed)]
        lost = next((p for p in named if not p.usable), None)
        if lost is not None:
            return f"There is no {kind} {name!r}: {_why_lost(lost)}."
        if len(named) > 1 and owner not in {p.name for p in named}:
            which = " and ".join(f"{p} ({kind}={p.name}/{short})" for p in named)
            return f"{kind}={name}: {owner} is claimed by {which}: choose one by its distribution's name."
        allowed = {n for e in self.entries(kind) for n in (e.component.name, e.qualified)}
        allowed = allowed if "/" in name else set(self.names(kind))
        return f"There is no {kind} {name!r}: {nearest(name, allowed)}{self.broken()}"

    def broken(self) -> str:
        """A sentence on the plugins that could not be loaded, three of them with the cause: it may be one of theirs."""
        lost = [p for p in self.plugins if p.error]
        said = [f" Note that {_why_lost(p)}." for p in lost[:SAID]]
        if lost[SAID:]:
            said.append(f" Nor could {', '.join(map(str, lost[SAID:]))} (diffkit plugins says why).")
        return "".join(said)

    def name_of(self, kind: str, cls: type[Any]) -> str | None:
        """The name under which a class is offered, found by its module and name; None if it is not."""
        targets = (cls, f"{cls.__module__}:{cls.__qualname__}")
        named = zip(self.names(kind), self.entries(kind), strict=True)
        return next((name for name, entry in named if entry.component.target in targets), None)

    def component(self, kind: str, name: str) -> Component:
        """The component of this name; raises `DiffkitError` for an unknown or an ambiguous one."""
        return self.entry(kind, name).component

    def interface(self, kind: str) -> type[Any]:
        """The class that the parts of a kind implement; raises `DiffkitError` if it cannot be imported."""
        known = self.kind(kind)
        found: type[Any] = _import(f"interface of the kind {kind!r}", known.interface, foreign=known not in KINDS)
        return found

    def load(self, kind: str, name: str) -> type[Any]:
        """Import the class of this name; raises `DiffkitError` if it cannot be, or does not implement the kind."""
        entry, interface = self.entry(kind, name), self.interface(kind)  # first, so that what it imports is no part's
        target = entry.component.target
        cls = _import(str(entry), target, not entry.plugin.standard) if isinstance(target, str) else target
        if not isinstance(cls, type):
            raise DiffkitError(f"The {entry} is no class: {target}.")
        refuse_unfit(str(entry), cls, interface)  # type: ignore[arg-type]  # a class is hashable
        return cls


def _why_lost(plugin: Plugin) -> str:
    if plugin.blocked:
        return f"the plugin {plugin} is left out by DIFFKIT_PLUGINS"
    return f"the plugin {plugin} could not be loaded: {plugin.error}"


def _warn(message: str) -> None:
    warnings.warn(message, PluginWarning, stacklevel=3)


def _import(who: str, target: str, foreign: bool) -> Any:
    """What is at `"module:name"`. Foreign code leaves no trace, and may raise anything."""
    module, _, name = target.partition(":")
    guard = contained() if foreign and module not in sys.modules else nullcontext()
    try:
        with guard:
            return getattr(import_module(module), name)
    except (Exception, SystemExit) as error:
        cause = " ".join(str(error).split())
        raise DiffkitError(f"The {who} could not be imported from {target}: {type(error).__name__}: {cause}") from error


@cache
def registry() -> Registry:
    """The registry of this process, made from the installed plugins when it is first asked for."""
    return Registry(load_plugins())
