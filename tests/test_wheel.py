"""The wheel is complete: installed elsewhere, it trains from any folder."""

import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[1]


def run(*command: str | Path, cwd: Path, **env: str) -> str:
    done = subprocess.run(
        [sys.executable, *map(str, command)], cwd=cwd, env=os.environ | env, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    run("-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    return next(folder.glob("diffkit-*.whl"))


def test_the_wheel_holds_the_package_its_configs_and_its_licence(wheel: Path):
    names = set(ZipFile(wheel).namelist())
    configs = {f"diffkit/{path.relative_to(ROOT)}" for path in (ROOT / "conf").rglob("*.yaml")}
    templates = {str(path.relative_to(ROOT)) for path in (ROOT / "diffkit/scaffold/package").iterdir()}
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "diffkit").rglob("*.py")}
    assert configs and configs <= names
    assert templates and templates <= names
    assert modules <= names and "diffkit/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [
        name for name in names if name.split("/")[0] not in ("diffkit", wheel.name.split("-py3")[0] + ".dist-info")
    ]


def test_the_installed_wheel_trains_from_another_folder(wheel: Path, tmp_path: Path):
    site, work = tmp_path / "site", tmp_path / "work"
    work.mkdir()
    run("-m", "pip", "install", "--quiet", "--no-deps", "--target", site, wheel, cwd=work)
    where = run("-c", "import diffkit; print(diffkit.__file__)", cwd=work, PYTHONPATH=str(site))
    assert Path(where.strip()).is_relative_to(site), "the tests would not see the wheel"
    short = [
        "trainer.max_steps=2",
        "data.batch_size=8",
        "denoiser=mlp",
        "samples=4",
        "grid.steps=2",
        "logger=[]",
        "metric=[]",
    ]
    run(site / "bin/diffkit", "train", *short, "out=run", cwd=work, PYTHONPATH=str(site))
    assert (work / "run/config.yaml").is_file()
    assert (work / "run/bundle/model.safetensors").is_file()
    assert (work / "run/samples/grid.png").is_file()
