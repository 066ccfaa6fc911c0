"""Plugins: found by entry point, loaded one by one, so that a broken one harms nothing but itself."""

import os
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from functools import partial
from importlib import util
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import TypeVar

import pluggy

from diffkit.core.errors import DiffkitError, nearest

GROUP = "diffkit"
"""The group of entry points that names plugins."""

hookspec = pluggy.HookspecMarker("diffkit")
hookimpl = pluggy.HookimplMarker("diffkit")
"""Marks a function of a plugin as one of the hooks of `Hooks`."""


@dataclass(frozen=True)
class Component:
    """A part on offer: its kind, the name it is chosen by, and where it is.

    `target` is `"module:Class"`, imported when the part is chosen and not before, or the class itself.
    """

    kind: str
    name: str
    target: str | type


@dataclass(frozen=True)
class Kind:
    """A kind of part: its name, the `"module:Class"` that its parts implement, and whether a run takes a list."""

    name: str
    interface: str
    many: bool = False


class Hooks:
    """What a plugin may implement; each hook returns a list."""

    @hookspec
    def diffkit_components(self) -> list[Component]:  # type: ignore[empty-body]
        """The parts that the plugin offers."""

    @hookspec
    def diffkit_configs(self) -> list[str]:  # type: ignore[empty-body]
        """Packages with YAML presets to put on Hydra's search path, such as `"my_plugin.conf"`."""

    @hookspec
    def diffkit_kinds(self) -> list[Kind]:  # type: ignore[empty-body]
        """New kinds of part."""


class PluginWarning(UserWarning):
    """A plugin was skipped."""


@dataclass(frozen=True)
class Plugin:
    """What was found of one plugin; one that could not be loaded has an `error` and offers nothing."""

    name: str
    """The name that qualifies its parts: its entry point's, or its distribution's where two share that."""
    distribution: str
    version: str
    module: str
    components: tuple[Component, ...] = ()
    configs: tuple[str, ...] = ()
    kinds: tuple[Kind, ...] = ()
    error: str = ""

    @property
    def standard(self) -> bool:
        """Whether it came with diffkit."""
        return self.distribution == "diffkit"

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}".strip()


def load_plugins(files: Sequence[Path] = ()) -> list[Plugin]:
    """Every installed plugin that `DIFFKIT_PLUGINS` allows, then the single files; the standard ones first.

    One that fails to load, or whose hooks return nonsense, is skipped with a `PluginWarning`; with
    `DIFFKIT_STRICT_PLUGINS=1` it raises `DiffkitError`, as a file that fails always does.
    """
    strict = os.environ.get("DIFFKIT_STRICT_PLUGINS", "0") not in ("", "0")
    points = sorted(entry_points(group=GROUP), key=lambda p: (_owner(p)[0] != "diffkit", _owner(p)[0], p.name))
    plugins = [_load(point.load, _describe(point)) for point in _allowed(points)]
    plugins += [_load(partial(_import_file, file), Plugin(file.stem, str(file), "", str(file))) for file in files]
    for plugin in plugins:
        if plugin.error and (strict or plugin.distribution in map(str, files)):
            raise DiffkitError(f"The plugin {plugin} could not be loaded: {plugin.error}.")
        if plugin.error:
            warnings.warn(f"the plugin {plugin} is skipped: {plugin.error}", PluginWarning, stacklevel=2)
    return _distinct(plugins)


def _owner(point: EntryPoint) -> tuple[str, str]:
    return (point.dist.name, point.dist.version) if point.dist else ("unknown", "")


def _describe(point: EntryPoint) -> Plugin:
    return Plugin(point.name, *_owner(point), point.value)


def _allowed(points: Iterable[EntryPoint]) -> list[EntryPoint]:
    """The standard plugins, and of the others those that `DIFFKIT_PLUGINS` names, or all where it is not set."""
    points, wish = list(points), os.environ.get("DIFFKIT_PLUGINS")
    if wish is None:
        return points
    names = {name.strip() for name in wish.split(",") if name.strip()}
    known = {name for p in points for name in (p.name, _owner(p)[0])}
    for name in sorted(names - known):
        warnings.warn(f"DIFFKIT_PLUGINS names {name!r}: {nearest(name, known)}", PluginWarning, stacklevel=3)
    return [p for p in points if _owner(p)[0] == "diffkit" or names & {p.name, _owner(p)[0]}]


def _import_file(file: Path) -> ModuleType:
    if not file.is_file():
        raise FileNotFoundError("there is no such file")
    name = f"diffkit_file_{file.stem}"
    spec = util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError("it is not a Python file")
    module = sys.modules[name] = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _load(load: Callable[[], object], plugin: Plugin) -> Plugin:
    """The plugin with what its hooks return, or with the error that keeps it from loading.

    A plugin is foreign code: whatever it raises, `SystemExit` too, ends up in `error`. Each has a manager of its own,
    so that no hook of one can disturb another. What it prints goes to stderr, so that our output stays clean.
    """
    try:
        with redirect_stdout(sys.stderr):
            manager = pluggy.PluginManager("diffkit")
            manager.add_hookspecs(Hooks)
            found = load()
            manager.register(found)
            _refuse_strays(manager, found)
            return replace(
                plugin,
                components=_gather("diffkit_components", manager.hook.diffkit_components(), Component),
                configs=_gather("diffkit_configs", manager.hook.diffkit_configs(), str),
                kinds=_gather("diffkit_kinds", manager.hook.diffkit_kinds(), Kind),
            )
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        cause = " ".join(str(error).split()) or "no message"
        return replace(plugin, error=f"{type(error).__name__}: {cause}")


def _refuse_strays(manager: pluggy.PluginManager, plugin: object) -> None:
    """Refuse a hook of a misspelt name (with the nearest: pluggy's `check_pending` has none), or one not marked."""
    hooks = [name for name in vars(Hooks) if name.startswith("diffkit_")]
    marked = [caller.name for caller in manager.get_hookcallers(plugin) or []]
    for name in marked:
        if name not in hooks:
            raise DiffkitError(f"there is no hook {name!r}: {nearest(name, hooks)}")
    for name in hooks:
        if name not in marked and callable(getattr(plugin, name, None)):
            raise DiffkitError(f"its function {name!r} is not marked with @diffkit.hookimpl")


T = TypeVar("T")


def _gather(hook: str, results: list[object], what: type[T]) -> tuple[T, ...]:
    gathered: list[T] = []
    for result in results:
        if not isinstance(result, list | tuple):
            raise TypeError(f"{hook} must return a list, not {type(result).__name__}")
        for item in result:
            if not isinstance(item, what):
                raise TypeError(f"{hook} must return a list of {what.__name__}, but one item is {item!r:.60}")
            gathered.append(item)
    return tuple(gathered)


def _distinct(plugins: Sequence[Plugin]) -> list[Plugin]:
    """Plugins that share a name (two distributions may) are named by their distributions instead."""
    count = Counter(plugin.name for plugin in plugins)
    return [replace(p, name=Path(p.distribution).name) if count[p.name] > 1 else p for p in plugins]
