import os
from pathlib import Path

import pytest

from diffkit import DiffkitError
from diffkit.compose.plain import read_yaml
from diffkit.run.folder import RunFolder, write_yaml


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def made(name: str = "a") -> RunFolder:
    folder = RunFolder.create(name)
    write_yaml(folder.config, {"seed": 0})
    return folder


def test_names_are_made_fit_for_a_path() -> None:
    assert RunFolder.create("../a b/c").path.parent == Path("runs")


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_a_place_that_cannot_be_written_is_refused() -> None:
    Path("closed").mkdir(mode=0o500)
    with pytest.raises(DiffkitError, match="closed"):
        RunFolder.create("a", "closed")


def test_last_is_the_newest() -> None:
    first, second = made("a"), made("b")
    first.mark_last()
    second.mark_last()
    assert RunFolder.resolve("last").path == second.path
    assert RunFolder.resolve("runs/last").path == second.path
    assert RunFolder.resolve(first.path).path == first.path
    assert sorted(p.name for p in Path("runs").iterdir() if p.name.startswith(".")) == []


def test_last_works_when_the_folder_is_elsewhere(tmp_path: Path) -> None:
    folder = RunFolder.create("a", tmp_path / "elsewhere")
    write_yaml(folder.config, {})
    folder.mark_last()
    assert RunFolder.resolve("last").path.resolve() == folder.path.resolve()


def test_no_run_is_said_with_those_that_are_near() -> None:
    with pytest.raises(DiffkitError, match="'last' does not exist: there is none in runs/ yet"):
        RunFolder.resolve("last")
    there = made()
    with pytest.raises(DiffkitError, match=there.path.name):
        RunFolder.resolve("runs/nowhere")
    Path("plain").mkdir()
    with pytest.raises(DiffkitError, match=r"holds no run \(no config\.yaml\)"):
        RunFolder.resolve("plain")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: ${oc.env:HOME}", "interpolation at 'a'"),
        ("a: [{b: 'x ${c}'}]", r"interpolation at 'a\.0\.b'"),
        ("!!python/object/apply:os.system ['echo']", "a type of its own"),
        ("- 1", "keys and values"),
        ("a: [", "not plain YAML"),
    ],
)
def test_a_saved_config_is_plain_data(text: str, message: str) -> None:
    Path("config.yaml").write_text(text)
    with pytest.raises(DiffkitError, match=message):
        read_yaml(Path("config.yaml"))
