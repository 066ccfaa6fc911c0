"""What a test runner asks for: the plugins that a word means, and the tests of each, with ids that never change."""

import re
import warnings
from collections.abc import Iterator
from pathlib import Path

from diffkit.compose.installed import PluginWarning
from diffkit.compose.plugins import Plugin
from diffkit.compose.registry import registry
from diffkit.compose.use import use
from diffkit.core.errors import DiffkitError, nearest
from diffkit.testing.settings import Setting, settings_of, written


def plugins_of(word: str) -> list[Plugin]:
    """The plugins that a name, a distribution's name or a file's path stands for.

    Raises `DiffkitError` if there are none, or if one of them could not be loaded or offers no parts.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PluginWarning)  # of others, which are not asked for
        if word.endswith(".py"):
            word = str(Path(word).expanduser().resolve())
            use(word)
        plugins = registry().plugins
    found = [p for p in plugins if _plain(word) in map(_plain, (p.name, p.distribution))]
    if not found:
        known = ", ".join(p.name if p.standard else f"{p.name} ({p})" for p in plugins)
        hint = nearest(word, [p.name for p in plugins])
        raise DiffkitError(
            f"there is no plugin {word!r}: {hint} (installed: {known}). A file is given by its path: ./mine.py"
        )
    for plugin in found:
        if not plugin.usable:
            why = plugin.error or "DIFFKIT_PLUGINS leaves it out"
            raise DiffkitError(f"the plugin {plugin} could not be loaded: {why}")
        if not plugin.components:
            raise DiffkitError(f"the plugin {plugin} offers no parts")
    return found


def _plain(name: str) -> str:
    """A distribution's name as package indexes compare it; a path as it is."""
    return name if "/" in name else re.sub(r"[-_.]+", "-", name).lower()


def parts_of(plugin: Plugin) -> Iterator[tuple[str, Setting]]:
    """The parts of a plugin in all their settings, each with its id: `my_plugin/sampler=mine[eta=0]`."""
    for component in plugin.components:
        for setting in settings_of(component.kind, f"{plugin.name}/{component.name}"):
            values = f"[{written(setting.values).replace(' ', ',')}]" if setting.values else ""
            yield f"{plugin.name}/{component.kind}={component.name}{values}", setting
