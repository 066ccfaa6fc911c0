"""Where modules are, and a digest of a plugin's source; nothing is imported for either."""

import inspect
import sys
from collections.abc import Iterator
from hashlib import sha256
from importlib import util
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from diffkit.compose.plugins import Plugin

_SUFFIXES = (".py", ".yaml", ".yml")


def find(module: str) -> ModuleSpec | None:
    """Where a module is. Its packages are not imported: what they import in turn may be slow."""
    top, *inner = module.split(".")
    spec = util.find_spec(top)
    for depth in range(1, len(inner) + 1):
        if spec is None:
            break
        spec = PathFinder.find_spec(".".join([top, *inner[:depth]]), spec.submodule_search_locations)
    return spec


def digest(plugin: Plugin) -> str | None:
    """The sha256 of the plugin's Python and YAML: of the packages that its hooks and targets are in, or of its file.

    None where there is no source to read.
    """
    if Path(plugin.module).is_file():
        return sha256(Path(plugin.module).read_bytes()).hexdigest()
    targets = [*(part.target for part in plugin.components), *(verb.target for verb in plugin.commands)]
    modules = {plugin.module.partition(":")[0], *(t.partition(":")[0] for t in targets if isinstance(t, str))}
    classes = [t for t in targets if isinstance(t, type)]
    modules |= {c.__module__ for c in classes}
    state, empty = sha256(), True
    for root in sorted({root for module in modules for root in _roots(module)}):
        for name, content in _files(root):
            empty = False
            state.update(f"{name}\0{len(content)}\0".encode() + content)
    for cls in sorted((c for c in classes if c.__module__ == "__main__"), key=lambda c: c.__qualname__):
        try:
            source = inspect.getsource(cls)
        except (OSError, TypeError):  # typed into an interpreter that keeps no source
            return None
        empty = False
        state.update(source.encode())
    return None if empty else state.hexdigest()


def _roots(module: str) -> list[Path]:
    """The folder of a module's outermost package, or the file of a module without one."""
    if module == "__main__" or (module in sys.modules and getattr(sys.modules[module], "__spec__", None) is None):
        return []
    names = module.split(".")
    for depth in range(1, len(names) + 1):
        try:
            spec = find(".".join(names[:depth]))
        except (ImportError, ValueError):
            return []
        if spec is None:
            return []
        if spec.origin is not None:  # else a namespace, which belongs to nobody
            found = spec.submodule_search_locations or [spec.origin]
            return [Path(place) for place in found]
    return []


def _files(root: Path) -> Iterator[tuple[str, bytes]]:
    if root.is_file():
        yield root.name, root.read_bytes()
    for file in sorted(root.rglob("*")):
        if file.suffix in _SUFFIXES and file.is_file():
            yield f"{root.name}/{file.relative_to(root).as_posix()}", file.read_bytes()
