"""What `diffkit new plugin` writes works: built, installed, held against its own tests, and used in one run."""

import re
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from zipfile import ZipFile

import forks
import pytest
from hatchling.build import build_wheel

from diffkit.compose.registry import KINDS
from diffkit.scaffold.command import new
from diffkit.scaffold.render import choices

ALL = [kind.name for kind in KINDS]

Run = Callable[..., str]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plugin for each kind and one of all kinds, each in a folder of its own, built and installed into `site`."""
    home = tmp_path_factory.mktemp("plugins")
    plugins = {**{f"my-{kind}": [kind] for kind in ALL}, "diffkit-all": ALL}
    for name, kinds in plugins.items():
        new(["plugin", name, "--kind", ",".join(kinds), "--out", str(home / name)])
        with chdir(home / name):
            wheel = ZipFile(home / build_wheel(str(home)))
        wheel.extractall(home / "site")
    return home


@pytest.fixture(scope="module")
def run(home: Path) -> Run:
    """A command with the plugins installed; gives what it prints."""

    def run(*command: str) -> str:
        done = forks.run(command, home, {"PYTHONPATH": str(home / "site")}, joined=True)
        assert done.returncode == 0, done.stdout
        return done.stdout

    return run


def test_every_part_keeps_the_contracts_of_its_kind(home: Path, run: Run):
    folders = [f"my-{kind}/tests" for kind in ALL]
    (home / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib\n")
    printed = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "pytest.ini", "-rA", *folders)
    passed = re.findall(r"^PASSED my-(\w+)/tests/test_(\w+)\.py::test_contracts$", printed, re.MULTILINE)
    assert sorted(passed) == sorted((kind, kind) for kind in ALL)
    assert f"{len(ALL)} passed in" in printed  # and no warnings


def test_all_parts_of_one_plugin_make_a_run(home: Path, run: Run):
    parts = choices(dict.fromkeys(ALL, "all"))
    printed = run(
        "-m", "diffkit.cli", "train", *parts.split(), "trainer.max_steps=2", "data.batch_size=16", "data.points=64",
        "samples=4", "grid.steps=2", "logger=[csv]", "out=run",
    )  # fmt: skip
    assert re.search(r"│ all +│ +[0-9.]+ │ +[0-9.]+ │", printed), printed
    config = (home / "run/config.yaml").read_text()
    assert set(re.findall(r"_part_: (\w+)", config)) == {"all", "frechet"}  # in which features are chosen
    assert "diffkit-all" in config
    assert (home / "run/bundle/model.safetensors").is_file() and (home / "run/samples/grid.png").is_file()
