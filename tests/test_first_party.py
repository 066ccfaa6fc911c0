"""The plugins under plugins/ are made as a stranger's: from the public API alone, as packages of their own."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[1]
PLUGINS = sorted(path.parent for path in (ROOT / "plugins").glob("*/pyproject.toml"))
PUBLIC = ("diffkit", "diffkit.core", "diffkit.run", "diffkit.standard.data", "diffkit.testing")
"""The modules whose names are promised to plugins."""


def imports(tree: ast.AST) -> Iterator[tuple[str, str | None]]:
    """Each module that is imported, with the name that is taken from it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name) for alias in node.names)


def faults(source: str) -> list[str]:
    """The imports of diffkit in a source that are not public; a name of a public module must be one that it lists."""
    found = []
    for module, name in imports(ast.parse(source)):
        if module.split(".")[0] == "diffkit" and (
            module not in PUBLIC or (name is not None and name not in import_module(module).__all__)
        ):
            found.append(f"{module}: {name}" if name else module)
    return found


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda plugin: plugin.name)
def test_it_imports_nothing_private(plugin: Path) -> None:
    sources = list(plugin.rglob("*.py"))
    assert len(sources) >= 3
    assert {str(path.relative_to(plugin)): faults(path.read_text(encoding="utf-8")) for path in sources} == {
        str(path.relative_to(plugin)): [] for path in sources
    }


@pytest.mark.parametrize(
    "source",
    [
        "import diffkit.standard.samplers.heun",
        "from diffkit.compose.registry import registry",
        "from diffkit.core import _HOME",
        "def f():\n    from diffkit.core.noise import key",
    ],
)
def test_what_is_private_would_be_found(source: str) -> None:
    assert faults(source)


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda plugin: plugin.name)
def test_it_is_a_whole_package(plugin: Path, tmp_path: Path) -> None:
    """It has what a package needs, and its wheel holds its modules, presets and licence, and no tests."""
    project = tomllib.loads((plugin / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["name"] == plugin.name and project["entry-points"]["diffkit"]
    assert all((plugin / name).exists() for name in ("README.md", "LICENSE", "tests"))
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(plugin)]
    done = subprocess.run(build, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
    assert done.returncode == 0, done.stdout
    (wheel,) = tmp_path.glob("*.whl")
    names = set(ZipFile(wheel).namelist())
    package = plugin.name.replace("-", "_")
    files = {
        str(p.relative_to(plugin)) for p in (plugin / package).rglob("*") if p.suffix in (".py", ".yaml", ".typed")
    }
    assert files and files <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {name.split("/")[0].split("-")[0] for name in names} == {package}
