"""What there is to choose from, in words, without importing any part."""

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from diffkit.compose.bundles import names
from diffkit.compose.registry import Entry, registry
from diffkit.compose.sources import find

BUNDLE = "bundle"
"""What the lines of trained models are of: no kind of part, but what `run=name` finds."""


@dataclass(frozen=True)
class Option:
    """One line of a list: what is chosen by `group=name`."""

    group: str
    name: str
    summary: str
    origin: str
    """The distribution and its version, or the file."""


def components(kind: str | None = None) -> list[Option]:
    """Every component of one kind or of all, with the first sentence of its docstring.

    The bundles that plugins ship come last, and are all there is of the kind `bundle`. Raises `DiffkitError` for an
    unknown kind.
    """
    bundles = [Option(BUNDLE, name, s.bundle.summary, str(s.plugin)) for name, s in names().items()]
    if kind == BUNDLE:
        return bundles
    kinds = list(registry().kinds) if kind is None else [registry().kind(kind).name]
    parts = [
        Option(k, name, summary(entry), str(entry.plugin))
        for k in kinds
        for name, entry in zip(registry().names(k), registry().entries(k), strict=True)
    ]
    return parts if kind else [*parts, *bundles]


def summary(entry: Entry) -> str:
    """The first line of a component's docstring, read from its source: importing it may be slow."""
    target = entry.component.target
    if not isinstance(target, str):
        return _first_line(target.__doc__)
    module, _, name = target.partition(":")
    return _docstrings(module).get(name, "")


@cache
def _docstrings(module: str) -> dict[str, str]:
    """The first line of the docstring of each class of a module."""
    try:
        spec = find(module)
        source = Path(spec.origin).read_text(encoding="utf-8") if spec and spec.origin else ""
        tree = ast.parse(source)
    except Exception:  # a part that cannot be found is listed without a summary; choosing it says what is wrong
        return {}
    return {node.name: _first_line(ast.get_docstring(node)) for node in tree.body if isinstance(node, ast.ClassDef)}


def _first_line(text: str | None) -> str:
    return text.strip().splitlines()[0] if text and text.strip() else ""


def presets(group: str, folders: Sequence[tuple[str, Path]]) -> list[Option]:
    """The YAML files of a group in these folders (each with the name of who brings it), with their first comment."""
    return [
        Option(group, file.stem, _first_comment(file), origin)
        for origin, folder in folders
        for file in sorted((folder / group).glob("*.yaml"))
    ]


def groups(folders: Sequence[tuple[str, Path]]) -> list[str]:
    """Every group that has presets."""
    return sorted({f.name for _, folder in folders for f in folder.iterdir() if f.is_dir() and any(f.glob("*.yaml"))})


def _first_comment(file: Path) -> str:
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("#") and not line.startswith("# @"):
            return line.lstrip("# ").strip()
    return ""


def keys(verb: str) -> dict[str, str]:
    """The keys at the top of a verb's config, with what they mean."""
    source = (Path(__file__).parent / "keys.py").read_text(encoding="utf-8")
    found: dict[str, str] = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef) and node.name == verb.capitalize():
            for field, text in zip(node.body, node.body[1:], strict=False):
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                    words = text.value if isinstance(text, ast.Expr) else None
                    found[field.target.id] = str(words.value) if isinstance(words, ast.Constant) else ""
    return found
