"""The documentation says what is there, and what it shows works; `pages` says how its code blocks are marked."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest
import yaml
from pages import PAGES, ROOT, SITE, Reader, blocks, commands, generated, matches, unmarked

import diffkit
import diffkit.core
import diffkit.testing
from diffkit.compose.hooks import Hooks

TEXT = "".join(page.read_text(encoding="utf-8") for page in SITE)


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p)], ids=lambda page: str(page.relative_to(ROOT)))
def test_marked_blocks_run_and_print_what_is_shown(page: Path, tmp_path: Path):
    if all(block.action == "shown" for block in blocks(page)):
        return
    reader = Reader(tmp_path)
    for block in blocks(page):
        if block.setup:
            reader.run(block.setup)
        elif block.action == "shown":
            continue
        elif block.action in ("file", "append"):
            file = reader.here / block.argument
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("w" if block.action == "file" else "a", encoding="utf-8") as out:
                out.write(block.code)
        elif block.language == "console":
            for command, shown in commands(block.code):
                more, status = ("", int(block.argument or 2)) if block.action == "fails" else (block.argument, 0)
                printed = reader.run(f"{command} {more}", status)
                assert matches(shown, printed), f"{page.name}: {command} printed\n{printed}\nand not\n{shown}"
        else:
            reader.run(["python", "-c", block.code])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_is_run_or_says_why_not(page: Path):
    silent = unmarked(page.read_text(encoding="utf-8"))
    assert not silent, f"{page.name}: mark with <!-- run --> or <!-- shown: why -->: {silent}"


SHOWN = [(page, block) for page in PAGES for block in blocks(page) if block.action == "shown"]


@pytest.mark.parametrize(("page", "block"), SHOWN, ids=lambda one: one.name if isinstance(one, Path) else one.argument)
def test_what_is_only_shown_is_written_right(page: Path, block):
    """Python compiles, files can be read, and a training that nobody waits for here has a config."""
    if block.language == "python":
        compile(block.code, str(page), "exec")
    elif block.language == "toml":
        tomllib.loads(block.code)
    elif block.language == "yaml":
        yaml.safe_load(block.code)
    for command, _ in commands(block.code) if block.language == "console" else []:
        words = shlex.split(command, comments=True)
        if words[:2] == ["diffkit", "train"] and not any(w.startswith(("-", "resume=")) for w in words):
            diffkit.compose(words[2:])


def test_every_public_name_is_documented():
    written = TEXT + "".join(generated().values())
    for name in diffkit.core.__all__:
        assert re.search(rf"^::: diffkit\.core\.(\w+\.)?{name}$", written, re.MULTILINE), name
    for name in diffkit.__all__:
        assert re.search(rf"^::: diffkit\.{name}$", TEXT, re.MULTILINE), name
    for name in diffkit.testing.__all__:
        assert re.search(rf"^::: diffkit\.testing\.{name}$|`{name}\b", TEXT, re.MULTILINE), name


def test_every_hook_and_every_environment_variable_is_documented():
    for hook in (name for name in vars(Hooks) if name.startswith("diffkit_")):
        assert re.search(rf"`{hook}\b", TEXT), f"no page says what the hook {hook} is for"
    read = {
        name
        for file in (ROOT / "diffkit").rglob("*.py")
        for name in re.findall(r"""["'](DIFFKIT_[A-Z_]+)["']""", file.read_text(encoding="utf-8"))
    }
    assert read, "no environment variable was found in the code"
    for name in read:
        assert f"`{name}" in TEXT, f"no page says what the environment variable {name} does"


def test_every_part_has_a_line_and_a_docstring():
    from diffkit.compose.registry import registry

    known = registry()
    for kind in known.kinds:
        for name in known.names(kind):
            page = generated()[f"parts/{kind}.md"]
            row = re.search(rf"^\| \[`{name}`\]\(#\S+\) \| (.*?) \| .* \|$", page, re.MULTILINE)
            assert row, f"{kind}={name} has no line in its table"
            assert row[1].strip(), f"{kind}={name} has no docstring"


@pytest.mark.parametrize("shown", ["a ... d", "a\n...\nd", "b", ""])
def test_ellipsis_matches_anything(shown: str):
    assert matches(shown, "a\nb c\nd")
    assert not matches("a ... e", "a\nb c\nd")


def test_a_block_without_a_mark_is_found():
    marks = ["", "<!-- run -->\n", "<!-- shown: a reason -->\n", "<!-- shown -->\n", "<!-- a remark -->\n"]
    text = "\n".join(f"{mark}```python\nblock{i} = 1\n```\n" for i, mark in enumerate(marks))
    assert unmarked(text + "```text\noutput\n```\n") == ["block0 = 1", "block3 = 1", "block4 = 1"]
