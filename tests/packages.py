"""Real packages for tests: written as source trees, built into wheels, and installed by pip into a folder."""

import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent

from hatchling.builders.wheel import WheelBuilder

PROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "{version}"
readme = "README.md"

[project.entry-points.diffkit]
{point} = "{package}"

[tool.hatch.build.targets.wheel]
packages = ["{package}"]
"""


@dataclass(frozen=True)
class Package:
    """A distribution with one package; `entry` is the source of its `__init__.py`, `files` are the others."""

    name: str
    entry: str
    version: str = "1.0"
    point: str = ""
    module: str = ""
    files: dict[str, str] = field(default_factory=dict)
    readme: str = ""

    @property
    def package(self) -> str:
        return self.module or self.name.replace("-", "_")

    def write(self, folder: Path) -> Path:
        """The source tree."""
        root = folder / self.name
        (root / self.package).mkdir(parents=True)
        point = self.point or self.package
        project = PROJECT.format(name=self.name, version=self.version, point=point, package=self.package)
        (root / "pyproject.toml").write_text(project)
        (root / "README.md").write_text(self.readme)
        for name, text in {"__init__.py": self.entry, **self.files}.items():
            file = root / self.package / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(dedent(text))
        return root


def install(packages: Iterable[Package], scratch: Path, bytecode: bool = False) -> Path:
    """The folder that the packages are installed in, with or without bytecode: put it on PYTHONPATH."""
    wheels, site = scratch / "wheels", scratch / "site"
    for package in packages:
        root = package.write(scratch / "source")
        list(WheelBuilder(str(root)).build(directory=str(wheels), versions=["standard"]))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps", "--no-index"]
    how = ["--compile" if bytecode else "--no-compile", "--target", str(site)]
    done = subprocess.run([*pip, *how, *map(str, wheels.iterdir())], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return site
