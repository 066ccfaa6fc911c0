"""The documentation says what is there, and what it shows works.

In a page, `<!-- run -->` before a code block says that the block is run here, in a folder that the page's blocks
share; `<!-- run + trainer.max_steps=2 -->` appends overrides to each command, to make it short; `<!-- fails -->` says
that each command is refused (status 2); `<!-- file: name -->` saves the block under that name;
`<!-- setup: command -->` is run and not shown. Of a console block, the lines after a command are its output, where
`...` stands for anything.
"""

import os
import re
import subprocess
import sys
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import NamedTuple

import pytest

import diffkit
import diffkit.core

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(
    r"^<!-- (?:setup: (?P<setup>.*?) -->|"
    r"(?P<action>run|fails|file)(?: \+ |: )?(?P<argument>[^\n]*?) -->\n+```(?P<language>\w+)\n(?P<code>.*?)^```$)",
    re.DOTALL | re.MULTILINE,
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


def run(command: list[str] | str, folder: Path, status: int = 0) -> str:
    """What a command prints, as a user sees it; its exit status must be the given one."""
    env = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "COLUMNS": "120"}
    done = subprocess.run(
        command, shell=isinstance(command, str), cwd=folder, env=env, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == status, f"{command}\n{done.stdout}"
    return done.stdout


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


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p)], ids=lambda page: page.name)
def test_marked_blocks_run_and_print_what_is_shown(page: Path, tmp_path: Path):
    for block in blocks(page):
        if block.setup:
            run(block.setup, tmp_path)
        elif block.action == "file":
            (tmp_path / block.argument).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / block.argument).write_text(block.code, encoding="utf-8")
        elif block.language == "console":
            for command, shown in commands(block.code):
                printed = run(f"{command} {block.argument}", tmp_path, 2 if block.action == "fails" else 0)
                assert matches(shown, printed), f"{page.name}: {command} printed\n{printed}\nand not\n{shown}"
        else:
            run([sys.executable, "-c", block.code], tmp_path)


@cache
def generated() -> dict[str, str]:
    """The pages that the site's hook writes."""
    spec = spec_from_file_location("diffkit_pages", ROOT / "docs/_site/parts.py")
    assert spec and spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    pages: dict[str, str] = module.pages()
    return pages


def test_every_public_name_is_documented():
    text = "".join(p.read_text(encoding="utf-8") for p in PAGES)
    pages = generated()
    for name in diffkit.core.__all__:
        assert re.search(rf"^::: diffkit\.core\.(\w+\.)?{name}$", "".join(pages.values()), re.MULTILINE), name
    for name in diffkit.__all__:
        assert re.search(rf"^::: diffkit\.{name}$", text, re.MULTILINE), name


def test_every_part_has_a_line_and_a_docstring():
    from diffkit.compose.registry import registry

    pages = generated()
    known = registry()
    for kind in known.kinds:
        for name in known.names(kind):
            row = re.search(rf"^\| \[`{name}`\]\(#\S+\) \| (.*?) \| .* \|$", pages[f"parts/{kind}.md"], re.MULTILINE)
            assert row, f"{kind}={name} has no line in its table"
            assert row[1].strip(), f"{kind}={name} has no docstring"


@pytest.mark.parametrize("shown", ["a ... d", "a\n...\nd", "b", ""])
def test_ellipsis_matches_anything(shown: str):
    assert matches(shown, "a\nb c\nd")
    assert not matches("a ... e", "a\nb c\nd")
