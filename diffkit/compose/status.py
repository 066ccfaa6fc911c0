"""`diffkit plugins`: what is installed, what each plugin offers, and whether it works; no part is imported."""

import json
import warnings
from typing import Any

from diffkit.compose.installed import PluginWarning
from diffkit.compose.plugins import Plugin
from diffkit.compose.registry import registry

HEAD = ("plugin", "distribution", "version", "api", "offers", "status")


def plugins() -> tuple[Plugin, ...]:
    """Every plugin that was found, the broken and the blocked ones too, without a warning for each."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PluginWarning)
        return registry().plugins


def rows() -> list[tuple[str, ...]]:
    """The lines of a table with the columns `HEAD`."""
    return [
        (p.name, p.distribution, p.version, "" if p.api is None else str(p.api), _offers(p), _status(p))
        for p in plugins()
    ]


def as_json() -> str:
    """All that is known of each plugin, as JSON."""
    return json.dumps([_entry(plugin) for plugin in plugins()], indent=2)


def _entry(plugin: Plugin) -> dict[str, Any]:
    return {
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "module": plugin.module,
        "api": plugin.api,
        "status": "error" if plugin.error else _status(plugin),
        "error": plugin.error or None,
        "parts": [f"{c.kind}={c.name}" for c in plugin.components],
        "kinds": [kind.name for kind in plugin.kinds],
        "presets": list(plugin.configs),
        "commands": [command.name for command in plugin.commands],
        "bundles": [bundle.name for bundle in plugin.bundles],
    }


def _status(plugin: Plugin) -> str:
    return "blocked by DIFFKIT_PLUGINS" if plugin.blocked else plugin.error or "ok"


def _offers(plugin: Plugin) -> str:
    """The parts by name, or their number where there are many; then what else there is."""
    parts = [f"{c.kind}={c.name}" for c in plugin.components]
    shown = parts if len(parts) <= 5 else [f"{len(parts)} parts"]
    kinds = [f"kind {kind.name}" for kind in plugin.kinds]
    commands = [f"command {command.name}" for command in plugin.commands]
    bundles = [f"bundle {bundle.name}" for bundle in plugin.bundles]
    return ", ".join([*shown, *kinds, *commands, *bundles, *(f"presets {package}" for package in plugin.configs)])
