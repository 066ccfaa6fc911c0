"""A mkdocs hook: writes the pages of parts and interfaces from the registry, so that a new part appears by itself."""

from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import diffkit.core
from diffkit.compose.nested import default_part, inner_parts
from diffkit.compose.plugins import Kind
from diffkit.compose.registry import KINDS, Entry, Registry, registry
from diffkit.compose.values import describe, hyperparameters
from diffkit.scaffold.names import Names
from diffkit.scaffold.render import WITHIN, choices, rendered

INDEX = """\
# Parts

A part is chosen by its name, in the config group of its kind. A constructor's parameters are its hyperparameters, and
these are its config keys: `sampler=ddim sampler.eta=1`. A kind that takes a list has each choice under its name:
`guidance=[cfg] guidance.cfg.scale=3`. A parameter that is a part itself is chosen by `<kind>@<key>=<name>` and has keys
of its own: `schedule=shifted schedule@schedule.base=linear schedule.base.steps=100`. Parameters called `shape`,
`condition`, `classes`, `schedule`, `seed`, `data` and the like are given by the build and are no config keys.

A name that two plugins claim is written with the plugin's name, which always works: `sampler=standard/ddim`.
`diffkit list` prints these tables for what is installed.

| kind | chosen | names |
|---|---|---|
"""

_PART = (
    "{heading_level: 3, heading: '%s', toc_label: '%s', members: false, separate_signature: false,"
    " show_signature: false}"
)

GIVEN = {
    "data": ("seed",),
    "codec": ("shape", "spec"),
    "conditioner": ("shape", "classes"),
    "denoiser": ("shape", "condition", "schedule"),
    "prediction": ("schedule",),
    "density": ("schedule",),
    "weighting": ("schedule",),
    "task": ("model", "density", "weighting", "optimizer", "condition_dropout", "shape", "classes", "data", "seed"),
    "guidance": ("spec", "load_model"),
    "features": ("data", "seed", "shape", "classes"),
    "metric": ("data", "seed", "shape", "classes"),
}
"""What a run gives to the constructor of a part, if it asks for it by name."""
_WORDS = {
    "classes": "the number of classes of the data's labels",
    "condition": "the width of each slot of the condition, a `ConditionSpec`",
    "condition_dropout": "how often a condition is dropped, one number or one for each conditioner",
    "data": "the data part",
    "density": "the part of that kind",
    "load_model": "a function from a run's path to the network that it trained",
    "model": "the model that learns",
    "optimizer": "a function from parameters to their optimizer",
    "schedule": "the run's schedule",
    "seed": "the run's seed",
    "shape": "the shape of one sample",
    "spec": "what the data say of themselves, a `DataSpec`",
    "weighting": "the part of that kind",
}

INTERFACES = """\
# Interfaces

What `diffkit.core` offers beside the interfaces that stand on their kinds' [pages](parts/index.md): the model that
binds the parts, and what passes between them.

"""


def _where(target: str | type) -> str:
    """`module.Class`, as mkdocstrings wants it."""
    return target.replace(":", ".") if isinstance(target, str) else f"{target.__module__}.{target.__qualname__}"


def _row(name: str, entry: Entry, registry: Registry) -> str:
    summary = (registry.load(entry.component.kind, name).__doc__ or "").split("\n\n")[0]
    cell = " ".join(summary.split()).replace("|", "\\|")
    return f"| [`{name}`](#{_where(entry.component.target)}) | {cell} | {entry.plugin} |"


def _keys(prefix: str, cls: type[Any]) -> list[str]:
    """The table of a part's config keys; empty if it has none."""
    rows, inner = [], inner_parts(cls)
    for name, p in hyperparameters(cls).items():
        key, default = f"{prefix}.{name}", p.default
        what = f"a {inner[name]}, chosen by `{inner[name]}@{key}=NAME`" if name in inner else describe(p.hint)
        if name in inner:
            default = default_part(cls.__name__, inner[name], p)
        rows.append(f"| `{key}` | {what} | {'(required)' if p.required else f'`{_value(default)}`'} |")
    return ["| key | value | default |", "|---|---|---|", *rows, ""] if rows else []


def _value(value: Any) -> str:
    """A default as it is written on the command line."""
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_value, value))}]"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _page(kind: Kind, registry: Registry) -> str:
    names = registry.names(kind.name)
    entries = [registry.entry(kind.name, name) for name in names]
    interface = _where(kind.interface)
    ours = interface.startswith("diffkit.")
    lines = [
        f"# {kind.name}",
        "",
        f"`diffkit train {choices({kind.name: ','.join(names[:2]) if kind.many else names[-1]})}`",
        "",
        "| name | what it is | from |",
        "|---|---|---|",
        *(_row(name, entry, registry) for name, entry in zip(names, entries, strict=True)),
        "",
        "## The interface",
        "",
        f"::: {interface}\n    options: {{heading_level: 3}}" if ours else f"A part of this kind is a `{interface}`.",
        "",
        *(_own(kind.name) if kind in KINDS else []),
        "## The parts",
        "",
    ]
    first: dict[str, str] = {}
    for name, entry in zip(names, entries, strict=True):
        where = _where(entry.component.target)
        if first.setdefault(where, name) != name:
            lines += [f"### {name}", "", f"The same part as [`{first[where]}`](#{where}).", ""]
            continue
        lines += [f"::: {where}", f"    options: {_PART % (name, name)}", ""]
        lines += _keys(f"{kind.name}.{name}" if kind.many else kind.name, registry.load(kind.name, name))
    return "\n".join(lines)


def _own(kind: str) -> list[str]:
    """How a part of a kind is written, by the template's example."""
    called = Names(f"my-{kind}", f"my_{kind}", f"my_{kind}", f"My{kind.title()}")
    files = rendered(called, {kind: called.part})
    asked = [f"`{name}` ({_WORDS[name]})" for name in GIVEN.get(kind, ())]
    told = f"A run gives its constructor what it asks for by name: {', '.join(asked)}. " if asked else ""
    part, test = f"{called.module}/{kind}.py", f"tests/test_{kind}.py"
    return [
        *("## Write your own", ""),
        *("```console", f"$ diffkit new plugin {called.distribution} --kind {kind}", "```", ""),
        f"writes a [plugin](../plugins.md) with a small part that works, in `{part}`:",
        *("", "```python", files[part].rstrip(), "```", ""),
        f"{told}Every other parameter is a key of its config, with the annotation's type and range.",
        *("", f"Its test, `{test}`,", "", "```python", files[test].rstrip(), "```", ""),
        f"holds it against the [contracts of its kind](../contracts.md#{kind});"
        f" `diffkit verify {kind}={called.part}` prints what they measure.",
        "",
    ]


def _taken(kind: Kind) -> str:
    """How many parts of a kind a run takes."""
    return f"within a {WITHIN[kind.name][0]}" if kind.name in WITHIN else "a list" if kind.many else "one"


def _interfaces(registry: Registry) -> str:
    shown = {kind.interface.rpartition(":")[2] for kind in registry.kinds.values()}
    names = [name for name in diffkit.core.__all__ if name not in shown]
    return INTERFACES + "\n\n".join(f"::: diffkit.core.{name}" for name in names) + "\n"


def pages() -> dict[str, str]:
    """The generated pages: their paths in the site's source, and their Markdown."""
    known = registry()
    kinds = [kind for kind in known.kinds.values() if known.names(kind.name)]
    rows = [
        f"| [{kind.name}]({kind.name}.md) | {_taken(kind)} | "
        f"{', '.join(f'`{name}`' for name in known.names(kind.name))} |"
        for kind in kinds
    ]
    return {
        "parts/index.md": INDEX + "\n".join(rows) + "\n",
        **{f"parts/{kind.name}.md": _page(kind, known) for kind in kinds},
        "interfaces.md": _interfaces(known),
    }


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put a page for each kind into the navigation, after the table of all."""
    for item in config.nav or []:
        if item == {"Parts": "parts/index.md"}:
            item["Parts"] = [path for path in pages() if path.startswith("parts/")]
    return config


def on_files(files: Files, config: MkDocsConfig, **_: Any) -> Files:
    """Add the generated pages to the site."""
    for path, content in pages().items():
        files.append(File.generated(config, path, content=content))
    return files
