"""From names and kinds to the text of every file of a plugin."""

import re
from collections.abc import Mapping
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING

from diffkit.compose.registry import KINDS
from diffkit.scaffold.names import Names

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

_BY_CLASS = ("data", "codec", "conditioner", "denoiser", "metric", "task")
"""The kinds whose contracts build the part: they are given its class."""
WITHIN = {"features": ("metric", "frechet", "features")}
"""The kinds whose parts are chosen within another: the kind, the name and the parameter of one."""
_MANY = frozenset(kind.name for kind in KINDS if kind.many)


class _Text(Template):
    """A template whose places are `%{name}`: `$` is the shell's and the workflow's."""

    delimiter = "%"


def _here() -> "Traversable":
    return files("diffkit.scaffold")


def example(kind: str) -> str:
    """The source of the part of a kind, as it stands in the templates."""
    return (_here() / "parts" / f"{kind}.py").read_text(encoding="utf-8")


def example_class(kind: str) -> str:
    """The name of its class there."""
    return f"My{kind.title()}"


def choices(parts: Mapping[str, str]) -> str:
    """How parts are chosen on the command line; `parts` has the name of that of each kind."""
    owners = [WITHIN[kind] for kind in parts if kind in WITHIN]
    named = {kind: [name] for kind, name in parts.items() if kind not in WITHIN}
    for kind, name, _ in owners:
        named[kind] = [*named.get(kind, []), name]
    chosen = [f"{kind}=[{','.join(names)}]" if kind in _MANY else f"{kind}={names[0]}" for kind, names in named.items()]
    return " ".join([*chosen, *(f"{k}@{'.'.join(WITHIN[k])}={parts[k]}" for k in parts if k in WITHIN)])


def use(parts: Mapping[str, str]) -> str:
    """A short run with these parts: what they need beside them is chosen too."""
    beside = ""
    if "data" in parts:  # points, which the default U-Net is not for, and which have no texts
        beside = " denoiser=mlp" * ("denoiser" not in parts) + " conditioner=[class]" * ("conditioner" not in parts)
    return f"diffkit train {choices(parts)}{beside} trainer.max_steps=20"


def rendered(names: Names, parts: Mapping[str, str]) -> dict[str, str]:
    """The files of the plugin by their paths in its folder.

    `parts` has a part's name of each kind that it brings, by which it can be chosen.
    """
    kinds = list(parts)
    sources = {kind: example(kind) for kind in kinds}
    classes = {kind: _class(names, kind, sources[kind]) for kind in kinds}
    summaries = {kind: _summary(sources[kind]) for kind in kinds}
    values = {
        "distribution": names.distribution,
        "module": names.module,
        "part": names.part,
        "kinds": " and ".join(filter(None, [", ".join(kinds[:-1]), kinds[-1]])),
        "choices": choices(parts),
        "components": "\n".join(
            f'        diffkit.Component("{kind}", "{names.part}", "{names.module}.{kind}:{classes[kind]}"),'
            for kind in kinds
        ),
        "rows": "\n".join(
            f"| `{choices({kind: parts[kind]})}` | `{names.module}/{kind}.py` | {summaries[kind]} |" for kind in kinds
        ),
        "use": use(parts),
        "prove": " ".join(f"{kind}={name}" for kind, name in parts.items()),
    }
    made = {
        "pyproject.toml": _text("pyproject.toml", values),
        "README.md": _text("README.md", values),
        ".gitignore": _text("gitignore", values),
        ".github/workflows/test.yml": _text("test.yml", values),
        f"{names.module}/__init__.py": _text("entry.py", values),
    }
    for kind in kinds:
        part = re.sub(rf"\b{example_class(kind)}\b", classes[kind], sources[kind])
        made[f"{names.module}/{kind}.py"] = part
    for kind, cls in classes.items():
        given = cls if kind in _BY_CLASS else f"{cls}()"
        made[f"tests/test_{kind}.py"] = _text("contracts.py", {**values, "kind": kind, "class": cls, "given": given})
    return made


def _class(names: Names, kind: str, source: str) -> str:
    return names.cls(kind, source.replace(example_class(kind), ""))


def _summary(source: str) -> str:
    """The first line of the module, which says what the part is."""
    return source.splitlines()[0].strip('"').rstrip(".")


def _text(name: str, values: dict[str, str]) -> str:
    template = (_here() / "package" / f"{name}.txt").read_text(encoding="utf-8")
    return _Text(template).substitute(values)
