"""The registry: from a kind and a name to the class that a plugin offers under it."""

import inspect
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from diffkit.compose.plugins import Component, Kind, Plugin, PluginWarning, load_plugins
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
    Kind("task", "lightning.pytorch:LightningModule"),
    Kind("sampler", "diffkit.core.sampler:Sampler"),
    Kind("grid", "diffkit.core.grid:Grid"),
    Kind("guidance", "diffkit.core.guidance:Guidance", many=True),
    Kind("metric", "diffkit.core.metric:SampleMetric", many=True),
)
"""The kinds that diffkit knows by itself, in the order in which a run is built."""


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
        self.plugins = tuple(plugins)
        self.kinds: dict[str, Kind] = {kind.name: kind for kind in KINDS}
        for plugin in plugins:
            for kind in plugin.kinds:
                if self.kinds.setdefault(kind.name, kind) != kind:
                    _warn(f"the plugin {plugin} brings a kind {kind.name!r}, but there is another one of that name")
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
        allowed = {n for e in self.entries(kind) for n in (e.component.name, e.qualified)}
        allowed = allowed if "/" in name else set(self.names(kind))
        broken = [f"{p} could not be loaded ({p.error})" for p in self.plugins if p.error]
        why = f" Note that the plugin {'; '.join(broken)}." if broken else ""
        return f"There is no {kind} {name!r}: {nearest(name, allowed)}{why}"

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
        module, _, name = self.kind(kind).interface.partition(":")
        try:
            found: type[Any] = getattr(import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise DiffkitError(f"The interface of the kind {kind!r} could not be imported: {error}") from error
        return found

    def load(self, kind: str, name: str) -> type[Any]:
        """Import the class of this name; raises `DiffkitError` if it cannot be, or does not implement the kind."""
        entry = self.entry(kind, name)
        cls, interface = _resolve(entry), self.interface(kind)
        if not issubclass(cls, interface):
            raise DiffkitError(f"The {entry} is no {interface.__name__}: {cls.__qualname__} must inherit from it.")
        if inspect.isabstract(cls):
            missing = ", ".join(sorted(cls.__abstractmethods__))
            raise DiffkitError(f"The {entry} is not complete: {cls.__qualname__} lacks {missing}.")
        return cls


def _warn(message: str) -> None:
    warnings.warn(message, PluginWarning, stacklevel=3)


def _resolve(entry: Entry) -> type[Any]:
    target = entry.component.target
    if isinstance(target, str):
        module, _, name = target.partition(":")
        try:
            target = getattr(import_module(module), name)
        except (Exception, SystemExit) as error:  # a plugin's module is foreign code and may raise anything
            raise DiffkitError(
                f"The {entry} could not be imported from {entry.component.target}: {type(error).__name__}: {error}"
            ) from error
    if not isinstance(target, type):
        raise DiffkitError(f"The {entry} is no class: {entry.component.target}.")
    return target


_files: list[Path] = []


def add_files(files: Sequence[Path]) -> None:
    """Use these single-file plugins, too, from now on."""
    _files.extend(file for file in files if file not in _files)
    registry.cache_clear()


@cache
def registry() -> Registry:
    """The registry of this process, made from the installed plugins when it is first asked for."""
    return Registry(load_plugins(_files))
