"""`diffkit new`: reads its words, and writes a plugin."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from diffkit.compose.registry import KINDS, registry
from diffkit.core.errors import DiffkitError, nearest
from diffkit.scaffold.names import Names, kinds_of, names
from diffkit.scaffold.render import choices, rendered, use
from diffkit.scaffold.write import write

HELP = f"""\
diffkit new plugin NAME --kind KIND [--out DIR]: write a plugin, a package with a small working part and its tests.

  --kind KIND   what it brings, again or with commas for several: --kind sampler,grid
                {", ".join(kind.name for kind in KINDS[:7])},
                {", ".join(kind.name for kind in KINDS[7:])}
  --out DIR     where it is written, a new or an empty folder: ./NAME

  diffkit new plugin my-sampler --kind sampler
"""


def new(arguments: Sequence[str]) -> int:
    """Write what the arguments ask for; without any, say what may be asked for. Gives the exit status.

    Raises `DiffkitError` for a mistake in them, or if there is something already where the plugin is to be.
    """
    if not arguments or {"--help", "-h"} & set(arguments):
        print(HELP, end="")
        return 0
    words, kinds, out = _read(arguments)
    if words[:1] != ["plugin"]:
        what = " ".join(words[:1])
        raise DiffkitError(f"diffkit new makes no {what!r}: {nearest(what, ['plugin'])} (diffkit new --help)")
    if len(words) != 2:
        raise DiffkitError("diffkit new plugin takes one name: diffkit new plugin my-sampler --kind sampler")
    called, chosen = names(words[1]), kinds_of(kinds)
    folder = Path(out or called.distribution)
    taken = [kind for kind in chosen if called.part in registry().names(kind)]
    parts = {kind: f"{called.part}/{called.part}" if kind in taken else called.part for kind in chosen}
    files = rendered(called, parts)
    write(folder, files)
    for kind in taken:
        print(_warning(called, kind, choices({kind: parts[kind]})), file=sys.stderr)
    print(f"Wrote {len(files)} files into {folder}:", *(f"  {name}" for name in files), "", "Next:", sep="\n")
    for command in (f"cd {shlex.quote(str(folder))}", 'pip install -e ".[test]" && pytest', use(parts)):
        print(f"  {command}")
    return 0


def _read(arguments: Sequence[str]) -> tuple[list[str], list[str], str]:
    """The words, the values of `--kind`, and that of `--out`."""
    words, kinds, out, rest = list[str](), list[str](), "", iter(arguments)
    for word in rest:
        flag, equals, value = word.partition("=")
        if not word.startswith("-"):
            words.append(word)
            continue
        if flag not in ("--kind", "--out"):
            raise DiffkitError(f"diffkit new has no option {flag!r}: {nearest(flag, ['--kind', '--out'])}")
        value = value if equals else next(rest, "")
        if not value or value.startswith("--"):
            raise DiffkitError(f"{flag} needs a value: {flag} {'sampler' if flag == '--kind' else './my-sampler'}")
        kinds, out = ([*kinds, value], out) if flag == "--kind" else (kinds, value)
    return words, kinds, out


def _warning(called: Names, kind: str, choice: str) -> str:
    owner = registry().entry(kind, called.part).plugin
    return (
        f"Warning: there is a {kind} {called.part!r} already, of {owner}: choose this one as {choice}, or give it "
        f"another name in {called.module}/__init__.py."
    )
