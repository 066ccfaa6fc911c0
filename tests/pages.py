"""The documentation's pages: their code blocks, and a place to run them in as a reader would.

In a page, a comment before a code block says what is done with it. `<!-- run -->`: it is run here, in a folder that the
page's blocks share; `<!-- run + trainer.max_steps=2 -->` appends overrides to each command, to make it short;
`<!-- fails -->` says that each command is refused (status 2), and `<!-- fails: 1 -->` that the status is 1;
`<!-- file: name -->` saves the block under that name, `<!-- append: name -->` adds it to that file;
`<!-- shown: why -->` leaves it, for a reason. `<!-- setup: command -->` is run and not shown. Of a console block, the
lines after a command are its output, where `...` stands for anything.
"""

import os
import re
import shlex
import site
import subprocess
import sys
import venv
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import NamedTuple

import forks

ROOT = Path(__file__).parents[1]
SITE = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES = [*SITE, ROOT / "CONTRIBUTING.md", ROOT / "benchmarks/README.md", *sorted(ROOT.glob("plugins/*/README.md"))]
BLOCK = re.compile(
    r"^<!-- (?:setup: (?P<setup>.*?) -->|"
    r"(?P<action>run|fails|file|append|shown)(?: \+ |: )?(?P<argument>[^\n]*?) -->\n+"
    r"```(?P<language>\w+)\n(?P<code>.*?)^```$)",
    re.DOTALL | re.MULTILINE,
)
_FENCED = re.compile(
    r"(?:^<!-- (?P<mark>[^\n]*) -->\n+)?^```(?P<language>\w*)\n(?P<code>.*?)^```$", re.DOTALL | re.MULTILINE
)


class Block(NamedTuple):
    """A marked code block of a page, or a command that sets the page up."""

    setup: str | None
    action: str | None
    argument: str | None
    language: str | None
    code: str | None


def blocks(page: Path) -> list[Block]:
    return [Block(**found.groupdict()) for found in BLOCK.finditer(page.read_text(encoding="utf-8"))]


def unmarked(text: str) -> list[str]:
    """The first lines of the blocks that nothing is said of; plain text is output, and needs no mark."""
    return [
        found["code"].partition("\n")[0]
        for found in _FENCED.finditer(text)
        if found["language"] != "text" and not re.match(r"(run|fails)\b|(file|append|shown): \S", found["mark"] or "")
    ]


def commands(console: str) -> list[tuple[str, str]]:
    """The commands of a console block, each with the output shown."""
    parts = re.split(r"^\$ (.*(?:\\\n.*)*)\n", console, flags=re.MULTILINE)[1:]
    return list(zip(parts[::2], parts[1::2], strict=True))


def matches(shown: str, printed: str) -> bool:
    """Whether the output is the one shown: line by line, spaces aside, with `...` for anything."""
    rest = " ".join(printed.split())
    for piece in " ".join(shown.split()).split("..."):
        _, found, rest = rest.partition(piece.strip()) if piece.strip() else ("", "...", rest)
        if not found:
            return False
    return True


class Reader:
    """A reader of one page: a folder, and an environment where what is installed harms no other."""

    def __init__(self, folder: Path) -> None:
        self.here, own = folder / "here", folder / "own"
        self.here.mkdir()
        self.scripts = own / "bin"
        venv.create(own, symlinks=True)
        (self.packages,) = own.glob("lib/python*/site-packages")
        (self.packages / "outer.pth").write_text(
            "".join(f"import site; site.addsitedir({p!r})\n" for p in site.getsitepackages())
        )
        for name in ("diffkit", "pip", "pytest"):  # as pip would have written them for this environment
            script = Path(sys.executable).with_name(name).read_text(encoding="utf-8").partition("\n")[2]
            (self.scripts / name).write_text(f"#!{self.scripts / 'python'}\n{script}", encoding="utf-8")
            (self.scripts / name).chmod(0o755)
        path = f"{self.scripts}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        offline = {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        self.env = dict(os.environ) | offline | {"PATH": path, "COLUMNS": "120", "DIFFKIT_CACHE": str(folder / "cache")}

    def run(self, command: list[str] | str, status: int = 0) -> str:
        """What a command prints, as a user sees it; its exit status must be the given one. `cd` stays in effect."""
        words = shlex.split(command, comments=True) if isinstance(command, str) else command
        if words[0] == "cd":
            self.here = self.here / words[1]
            return ""
        if words[0] in ("diffkit", "pytest", "python") and not {"|", "||", "&&", ">"} & set(words):
            argv = words[1:] if words[0] == "python" else [str(self.scripts / words[0]), *words[1:]]
            done = forks.run(argv, self.here, self.env, self.packages, joined=True)
        else:
            done = subprocess.run(
                command, shell=True, cwd=self.here, env=self.env, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300,
            )  # fmt: skip
        assert done.returncode == status, f"{command}\n{done.stdout}"
        return done.stdout


@cache
def generated() -> dict[str, str]:
    """The pages that the site's hooks write."""
    pages: dict[str, str] = _hook("parts").pages()
    return {**pages, "contracts.md": _hook("contracts").page()}


def _hook(name: str):
    spec = spec_from_file_location(f"diffkit_pages_{name}", ROOT / f"docs/_site/{name}.py")
    assert spec and spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
