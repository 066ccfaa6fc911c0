"""Plugins that are not installed: a file, a module, or a single class, as in a notebook."""

from dataclasses import replace
from pathlib import Path

from diffkit.compose.hooks import Component
from diffkit.compose.plugins import Plugin, load_file, load_object
from diffkit.compose.registry import registry
from diffkit.core.errors import DiffkitError


def use(plugin: object) -> None:
    """Offer the parts of a file (a path), of an object with hooks (a module), or one part (a `Component`).

    What was used before from the same file or module is replaced, a component's namesake alone. Raises `DiffkitError`
    if it cannot be loaded, or offers nothing.
    """
    if isinstance(plugin, str | Path):
        loaded = load_file(Path(plugin).expanduser().resolve())
    elif isinstance(plugin, Component):
        loaded = _one(plugin)
    else:
        name = getattr(plugin, "__name__", type(plugin).__name__)
        if any(name == p.module and p.usable and not p.used for p in registry().plugins):
            return  # it is installed
        loaded = load_object(plugin, name)
    if not (loaded.components or loaded.configs or loaded.kinds or loaded.commands or loaded.bundles):
        raise DiffkitError(f"The plugin {loaded} offers nothing: mark a function with @diffkit.hookimpl.")
    registry().use(loaded)


def _one(component: Component) -> Plugin:
    """A plugin of one part, and of the others that were used from its module."""
    target = component.target
    module = target.partition(":")[0] if isinstance(target, str) else target.__module__
    plugin = Plugin(module.rpartition(".")[2], module, "", module, used=True)
    before = next((p for p in registry().plugins if p.used and p.module == module), plugin)
    kept = [c for c in before.components if (c.kind, c.name) != (component.kind, component.name)]
    return replace(before, components=(*kept, component))
