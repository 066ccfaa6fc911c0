"""A mkdocs hook: writes the page of contracts from their tables, so that it says what is proven and nothing else."""

from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from diffkit.testing.contracts.generic import ANY, GENERIC
from diffkit.testing.contracts.hold import Table, sentence
from diffkit.testing.kinds import TABLES, builds

PAGE = "contracts.md"
HEAD = """\
# Contracts

What is proven of every part, by `diffkit verify`, `pytest --diffkit-plugin` and the functions of `diffkit.testing`, in
this order. [Prove a part](testing.md) says how to run them.
"""


def page() -> str:
    """The page's Markdown: a table for all registered parts, and one for each kind."""
    every: Table[Any] = {**GENERIC, "builds": builds}
    tables = {"every registered part": every, **TABLES, "a kind that a plugin brings": ANY}
    return HEAD + "".join(_section(name, table) for name, table in tables.items())


def _section(name: str, table: Table[Any]) -> str:
    rows = "\n".join(f"| `{contract}` | {sentence(check)} |" for contract, check in table.items())
    return f"\n## {name}\n\n| contract | what it says |\n|---|---|\n{rows}\n"


def on_files(files: Files, config: MkDocsConfig, **_: Any) -> Files:
    """Add the page to the site."""
    files.append(File.generated(config, PAGE, content=page()))
    return files
