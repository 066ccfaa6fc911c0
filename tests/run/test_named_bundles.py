"""Bundles that plugins ship: found by name, after paths, and sampled without a trace where they were installed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import small
from strangers import Install, install

import diffkit
from diffkit.cli import main
from diffkit.compose.overview import components
from diffkit.compose.plain import read_yaml
from diffkit.compose.registry import registry
from diffkit.compose.status import as_json
from diffkit.core.errors import DiffkitError
from diffkit.run import bundle
from diffkit.run.folder import write_yaml
from diffkit.run.sample import sample
from diffkit.run.saved import open_run

__all__ = ["install"]

ENTRY = """
import diffkit

@diffkit.hookimpl
def diffkit_bundles():
    return [diffkit.NamedBundle({name!r}, {folder!r}, "Digits in small.")]
"""

Ship = Callable[..., Path]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small.run_folder(tmp_path_factory.mktemp("made") / "run") / "bundle"


@pytest.fixture
def ship(install: Install, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ship:
    """Install a plugin that ships a bundle named `small`; gives the bundle's folder."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def shipping(distribution: str = "one", name: str = "small", **rest: str) -> Path:
        package = f"{distribution}_package"
        site = install(distribution, ENTRY.format(name=name, folder=f"{package}:bundles/b"), **rest)
        (site / package).mkdir()
        (site / package / "__init__.py").write_text("raise RuntimeError('never imported')")
        folder = site / package / "bundles" / "b"
        folder.parent.mkdir()
        folder.symlink_to(made)
        return folder

    return shipping


def test_a_name_is_a_run(ship: Ship) -> None:
    """For the command's samples, for Python, and in the lists; samples go below the present folder."""
    folder = ship()
    before = sorted(folder.iterdir())
    out = sample(small.asked(Path("small"), n=2))
    assert out == Path("runs/bundle-small/samples") and (out / "grid.png").is_file()
    assert sorted(folder.iterdir()) == before
    with np.load(out / "samples.npz") as file:
        np.testing.assert_array_equal(diffkit.load(folder).sample(n=2).x, file["x"])
        np.testing.assert_array_equal(diffkit.load("one/small").sample(n=2).x, file["x"])
    assert diffkit.compose(["run=small"], "sample").grid.steps == read_yaml(folder / "config.yaml")["grid"]["steps"]
    (option,) = components("bundle")
    assert (option.name, option.summary, option.origin) == ("small", "Digits in small.", "one 1.2")
    assert option in components() and '"small"' in as_json()


def test_a_path_comes_before_a_name(ship: Ship, made: Path) -> None:
    ship()
    assert bundle.locate("small") != made.parent
    Path("small").mkdir()
    with pytest.raises(DiffkitError, match=r"holds no run.*a path of the name comes first, is run=one/small"):
        diffkit.load("small")
    Path("small").rmdir()
    Path("small").symlink_to(made.parent)
    assert open_run("small").folder.resolve() == made.parent and not open_run("small").alone


def test_an_unknown_name_lists_the_nearest(
    ship: Ship, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ship()
    with pytest.raises(DiffkitError, match=r"'smal' does not exist: .*plugins ship, did you mean 'small'"):
        diffkit.load("smal")
    with pytest.raises(DiffkitError, match=r"runs/smal' does not exist: [^;]*yet$"):
        diffkit.load("runs/smal")
    monkeypatch.setattr("sys.argv", ["diffkit", "sample", "run=smal"])
    with pytest.raises(SystemExit):
        main()
    assert "did you mean 'small'?" in capsys.readouterr().err


def test_two_plugins_claim_a_name(ship: Ship) -> None:
    ship("one")
    ship("two")
    with pytest.raises(DiffkitError, match=r"claimed by one 1\.2 \(run=one/small\) and two 1\.2 \(run=two/small\)"):
        diffkit.load("small")
    assert open_run("two/small").folder == Path("runs/bundle-two-small")
    assert [option.name for option in components("bundle")] == ["one/small", "two/small"]


def test_a_bundle_is_older_than_the_plugin_that_ships_it(ship: Ship, made: Path) -> None:
    """Its record of the plugin's source is no news; of another's plugin it would be."""
    folder = ship()
    config = read_yaml(made / "config.yaml")
    record = {"version": "0.9", "sha256": "0" * 64, "uses": {"sampler": "sampler=ddim"}}
    with_record = {**config["diffkit"], "plugins": {"one": {"distribution": "one", **record}}}
    folder.unlink()
    folder.mkdir()
    write_yaml(folder / "config.yaml", {**config, "diffkit": with_record})
    (folder / "model.safetensors").write_bytes((made / "model.safetensors").read_bytes())
    told = bundle.load("small").config["diffkit"]["plugins"]["one"]
    assert (told["version"], told["sha256"], told["uses"]) == ("1.2", None, record["uses"])
    assert bundle.load(folder).config["diffkit"]["plugins"]["one"]["version"] == "0.9"


def test_a_shipped_bundle_that_is_not_there_and_averages_of_one(ship: Ship) -> None:
    folder = ship()
    with pytest.raises(DiffkitError, match="is a bundle alone"):
        open_run("small", ema=0.1)
    folder.unlink()
    with pytest.raises(DiffkitError, match=r"bundle 'small' of one 1\.2 is not where it says.*install it again"):
        open_run("small")


@pytest.mark.parametrize(
    ("name", "folder", "words"),
    [("last", "a:b", "newest run"), ("a b", "a:b", "name of a bundle"), ("a", "../b", "'package:folder'")],
)
def test_what_is_no_name_or_no_folder_is_refused(name: str, folder: str, words: str) -> None:
    with pytest.raises(DiffkitError, match=words):
        diffkit.NamedBundle(name, folder)


def test_a_plugin_cannot_offer_a_name_twice(install: Install) -> None:
    source = ENTRY.format(name="small", folder="a:b").replace("return [", "return 2 * [")
    install("twice", source)
    with pytest.warns(UserWarning, match="offers the bundle 'small' twice"):
        assert not any(plugin.bundles for plugin in registry().plugins)
