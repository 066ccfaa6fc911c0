"""Plugins: loaded one by one, so that a broken one harms nothing but itself."""

import os
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from hashlib import sha256
from importlib import util
from inspect import isfunction
from pathlib import Path
from types import ModuleType
from typing import TypeVar

import pluggy

from diffkit.compose.guard import contained, filters_kept, guarded, process_kept, time_limit
from diffkit.compose.hooks import API, Command, Component, Hooks, Kind, NamedBundle
from diffkit.compose.installed import Found, PluginWarning, allowed, installed
from diffkit.core.errors import DiffkitError, nearest


@dataclass(frozen=True)
class Plugin:
    """What was found of one plugin; one that could not be loaded has an `error` and offers nothing."""

    name: str
    """The name that qualifies its parts: its entry point's, or its distribution's where others claim that."""
    distribution: str
    """What is installed; a file's path, or a module's name, where `diffkit.use` was given that."""
    version: str
    module: str
    standard: bool = False
    """Whether it came with diffkit."""
    used: bool = False
    """Whether it was given to `diffkit.use`, or by `--plugin`, and is not installed."""
    blocked: bool = False
    """Whether `DIFFKIT_PLUGINS` keeps it from being loaded."""
    api: int | None = None
    """The plugin API that it was written for; None if that is not known."""
    components: tuple[Component, ...] = ()
    configs: tuple[str, ...] = ()
    kinds: tuple[Kind, ...] = ()
    commands: tuple[Command, ...] = ()
    bundles: tuple[NamedBundle, ...] = ()
    claimed: str = ""
    """Its entry point's name, where others claim that too, so that it names none of them."""
    error: str = ""

    @property
    def usable(self) -> bool:
        """Whether it was loaded."""
        return not (self.error or self.blocked)

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}".strip()


def load_plugins() -> list[Plugin]:
    """Every installed plugin, the standard one first.

    One that `DIFFKIT_PLUGINS` leaves out is not imported. One that fails to load, or whose hooks return nonsense, is
    skipped with a `PluginWarning`; with `DIFFKIT_STRICT_PLUGINS=1` it raises `DiffkitError`.
    """
    strict = os.environ.get("DIFFKIT_STRICT_PLUGINS", "0") not in ("", "0")
    found = installed()
    names, limit = allowed(found), time_limit()
    with process_kept():
        plugins = [_installed(one, names, limit) for one in found]
    for plugin in plugins:
        if plugin.error and strict:
            raise DiffkitError(f"The plugin {plugin} could not be loaded: {plugin.error}.")
        if plugin.error:
            warnings.warn(f"the plugin {plugin} is skipped: {plugin.error}", PluginWarning, stacklevel=2)
    return plugins


def load_file(file: Path) -> Plugin:
    """The plugin that is a single Python file; raises `DiffkitError` if it cannot be loaded."""
    plugin = Plugin(file.stem, str(file), "", str(file), used=True)
    return _sound(_load(partial(_import_file, file), plugin, time_limit()))


def load_object(hooks: object, name: str) -> Plugin:
    """The plugin that is an object with hooks, such as a module; raises `DiffkitError` if a hook fails."""
    plugin = Plugin(name.rpartition(".")[2], name, "", name, used=True)
    return _sound(_load(lambda: hooks, plugin, time_limit()))


def _sound(plugin: Plugin) -> Plugin:
    if plugin.error:
        raise DiffkitError(f"The plugin {plugin} could not be loaded: {plugin.error}.")
    return plugin


def _installed(found: Found, names: set[str], limit: float | None) -> Plugin:
    plugin = Plugin(found.point.name, found.distribution, found.version, found.point.value, found.standard)
    if not found.standard and not names & {found.point.name, found.distribution}:
        return replace(plugin, blocked=True)
    return _load(found.point.load, plugin, limit)


def _import_file(file: Path) -> ModuleType:
    """A file's module, made anew each time: the file may have changed since."""
    if not file.is_file():
        raise FileNotFoundError("there is no such file")
    name = f"diffkit_file_{file.stem}_{sha256(str(file).encode()).hexdigest()[:8]}"
    spec = util.spec_from_file_location(name, file)
    if spec is None:
        raise ImportError("it is not a Python file")
    code = compile(file.read_bytes(), str(file), "exec")  # not a cached one, which may be a second too old
    before, module = sys.modules.get(name), util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        exec(code, vars(module))
    except BaseException:
        del sys.modules[name]
        if before is not None:
            sys.modules[name] = before
        raise
    return module


def _load(load: Callable[[], object], plugin: Plugin, limit: float | None) -> Plugin:
    """The plugin with what its hooks return, or with the error that keeps it from loading.

    A plugin is foreign code: whatever it raises, `SystemExit` too, ends up in `error`. One that the user named may take
    its time: it may be the first that needs torch.
    """
    guard = contained() if plugin.used else guarded(f"the plugin {plugin}", limit)
    try:
        with filters_kept(), guard:
            found = load()
            plugin = replace(plugin, api=_api(found, plugin))
            with _registered(found) as hook:
                loaded = replace(
                    plugin,
                    components=_gather("diffkit_components", hook.diffkit_components(), Component),
                    configs=_gather("diffkit_configs", hook.diffkit_configs(), str),
                    kinds=_gather("diffkit_kinds", hook.diffkit_kinds(), Kind),
                    commands=_gather("diffkit_commands", hook.diffkit_commands(), Command),
                    bundles=_gather("diffkit_bundles", hook.diffkit_bundles(), NamedBundle),
                )
            _refuse_contradictions(loaded)
            return loaded
    except KeyboardInterrupt:
        raise
    except DiffkitError as error:
        return replace(plugin, error=" ".join(str(error).split()))
    except BaseException as error:
        cause = " ".join(str(error).split()) or "no message"
        return replace(plugin, error=f"{type(error).__name__}: {cause}")


def _api(found: object, plugin: Plugin) -> int:
    """The API that the plugin was written for; raises `DiffkitError` if it is none of those that are kept."""
    stated = getattr(found, "diffkit_api", 1)
    if type(stated) is not int or stated < 1:
        raise DiffkitError(f"its diffkit_api must be a whole number from 1, not {stated!r:.60}")
    oldest = max(1, API - 1)
    if stated > API:
        raise DiffkitError(
            f"it is built for version {stated} of the plugin API, and this diffkit has version {API}: "
            f"install a newer diffkit (pip install --upgrade diffkit), or an older {plugin.distribution}"
        )
    if stated < oldest:
        raise DiffkitError(
            f"it is built for version {stated} of the plugin API, and this diffkit has version {API} and keeps "
            f"{oldest}: install a newer {plugin.distribution} (pip install --upgrade {plugin.distribution})"
        )
    return stated


@cache
def _manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager("diffkit")
    manager.add_hookspecs(Hooks)
    return manager


@contextmanager
def _registered(plugin: object) -> Iterator[pluggy.HookRelay]:
    """The hooks of one plugin and of no other, so that none can disturb another's."""
    manager = _manager()
    try:
        manager.register(plugin)
        _refuse_strays(manager, plugin)
        yield manager.hook
    finally:
        if manager.is_registered(plugin):
            manager.unregister(plugin)


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
    for name, value in vars(plugin).items() if isinstance(plugin, ModuleType) else ():
        if name.startswith("diffkit_") and isfunction(value) and name not in hooks:
            raise DiffkitError(f"its function {name!r} looks like a hook and is none: {nearest(name, hooks)}")


T = TypeVar("T")


def _gather(hook: str, results: list[object], what: type[T]) -> tuple[T, ...]:
    gathered: list[T] = []
    for result in results:
        if not isinstance(result, list | tuple):
            raise DiffkitError(f"{hook} must return a list, not {type(result).__name__}")
        for item in result:
            if not isinstance(item, what):
                raise DiffkitError(f"{hook} must return a list of {what.__name__}, but one item is {item!r:.60}")
            gathered.append(item)
    return tuple(gathered)


def _refuse_contradictions(plugin: Plugin) -> None:
    """Refuse a name that is offered twice, and presets that are not there."""
    offered = [
        *(f"{c.kind}={c.name}" for c in plugin.components),
        *(f"the kind {k.name!r}" for k in plugin.kinds),
        *(f"the command {c.name!r}" for c in plugin.commands),
        *(f"the bundle {b.name!r}" for b in plugin.bundles),
    ]
    twice = [name for name, count in Counter(offered).items() if count > 1]
    if twice:
        raise DiffkitError(f"it offers {' and '.join(twice)} twice")
    for package in plugin.configs:
        if "://" not in package and not _is_there(package.replace("/", ".")):
            raise DiffkitError(f"diffkit_configs names the package {package!r}, which is not there")


def _is_there(package: str) -> bool:
    try:
        return util.find_spec(package) is not None
    except ModuleNotFoundError:  # nor is what it would be in
        return False


def distinct(plugins: Iterable[Plugin]) -> list[Plugin]:
    """The plugins with a name each; those whose name is another's, or another's distribution's, have their own's."""
    plugins = list(plugins)
    claims = Counter(name for plugin in plugins for name in {plugin.name, plugin.distribution})
    alone = [plugin.standard or claims[plugin.name] == 1 for plugin in plugins]
    taken = {plugin.name for plugin, mine in zip(plugins, alone, strict=True) if mine}
    named = []
    for plugin, mine in zip(plugins, alone, strict=True):
        if not mine:
            name = next(name for name in _names(plugin) if name not in taken)
            plugin = replace(plugin, name=name, claimed=plugin.claimed or plugin.name)
            taken.add(name)
        named.append(plugin)
    return named


def _names(plugin: Plugin) -> Sequence[str]:
    """What a plugin may be called, the best first; the last is nobody else's."""
    own = Path(plugin.distribution)
    digest = sha256(f"{plugin.distribution}:{plugin.module}".encode()).hexdigest()
    return own.name, f"{own.name}.{plugin.name}", f"{own.parent.name}.{own.stem}", f"{plugin.name}-{digest[:8]}"
