"""A bundle where its data are not: it samples and draws; figures need rows, which may be in another place by now."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small
import torch
from PIL import Image

import diffkit
from diffkit import cli
from diffkit.compose.build import create, part
from diffkit.core.data import DataSpec, Portable
from diffkit.core.errors import DiffkitError
from diffkit.run import bundle
from diffkit.run.others import matched
from diffkit.run.saved import open_run

METRIC = "metric=[column_wasserstein]"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFFKIT_CACHE", str(tmp_path / "cache"))


def table(path: Path, header: str = "length (mm),mass (g)", shift: float = 0.0) -> Path:
    x = np.random.default_rng(0).normal(size=(60, 2)) * [1, 30] + [50 + shift, 5]
    lines = [",".join(map(repr, [*row, "ab"[i % 2]])) for i, row in enumerate(x.tolist())]
    path.write_text("\n".join([f"{header},kind", *lines]).replace("'", ""))
    return path


def pictures(folder: Path) -> Path:
    for i in range(24):
        file = folder / "ab"[i % 2] / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 4, 3), 10 * i, dtype=np.uint8)).save(file)
    return folder


def made(path: Path, data: dict[str, Any]) -> Path:
    """The bundle alone of a model for these data."""
    config = {**small.choices("class"), "data": data}
    bundle.save(path, small.model(config), config, part("data", data, seed=0).spec)
    return path


def with_a_run(path: Path) -> Path:
    """The bundle as one that a run has made here."""
    (path.parent / "config.yaml").write_bytes((path / "config.yaml").read_bytes())
    return path


@pytest.fixture
def of_table(tmp_path: Path) -> tuple[Path, Path]:
    file = table(tmp_path / "t.csv")
    return made(tmp_path / "bundle", {"_part_": "table", "file": str(file), "label": "kind"}), file


@pytest.fixture
def of_pictures(tmp_path: Path) -> tuple[Path, Path]:
    folder = pictures(tmp_path / "pictures")
    data = {"_part_": "image_folder", "folder": str(folder), "resolution": 4, "workers": 0}
    return made(tmp_path / "bundle", data), folder


def called(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """The exit status of the command."""
    monkeypatch.setattr("sys.argv", ["diffkit", *words])
    with pytest.raises(SystemExit) as left:
        cli.main()
    return int(left.value.code or 0)


def grey(picture: Image.Image) -> int:
    """How many pixels have the colour of the data's points and bars; letters have a few at their edges."""
    pixels = np.asarray(picture.convert("RGB")).astype(int)
    return int((abs(pixels - 0xA8).max(-1) <= 1).sum())


def test_a_table_is_sampled_without_its_file(
    of_table: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same samples; the data are not below them in the pictures, as they are where they are at hand."""
    run, file = with_a_run(of_table[0]), of_table[1]
    here = diffkit.load(run).sample(n=4, label="b", batch_size=64)
    file.unlink()
    words = ["sample", f"run={run}", "n=4", "label=b", f"out={tmp_path}", "trainer.accelerator=cpu"]
    assert called(monkeypatch, *words) == 0
    with np.load(tmp_path / "samples.npz") as drawn:
        assert np.array_equal(drawn["x"], here.x.numpy())
    gone = diffkit.load(run).sample(n=4, label="b", batch_size=64)
    assert torch.equal(gone.x, here.x)
    with Image.open(tmp_path / "grid.png") as grid:
        assert np.array_equal(np.asarray(gone.image()), np.asarray(grid))
    assert grey(gone.image()) < 50 < grey(here.image())


def test_pictures_are_sampled_without_their_folder(of_pictures: tuple[Path, Path]) -> None:
    run, folder = of_pictures
    here = diffkit.load(run).sample(n=3)
    folder.rename(folder.with_name("elsewhere"))
    gone = diffkit.load(run).sample(n=3)
    assert torch.equal(gone.x, here.x) and gone.image() == here.image()


def test_a_bundle_alone_reads_no_file_that_its_config_names(
    of_table: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, file = of_table
    assert diffkit.load(run).sample(n=2).data.rows is None
    words = ["evaluate", f"run={run}", METRIC, "n=4", "trainer.accelerator=cpu"]
    assert called(monkeypatch, *words) == 2
    assert "data.file must be given" in capsys.readouterr().err
    assert called(monkeypatch, *words, f"data.file={file}") == 0


def test_rows_of_another_table_in_the_file_s_place_are_not_drawn(of_table: tuple[Path, Path]) -> None:
    run, file = with_a_run(of_table[0]), of_table[1]
    assert diffkit.load(run).sample(n=2).data.rows is not None
    table(file, "length (cm),mass (g)")
    assert diffkit.load(run).sample(n=2).data.rows is None


def test_pictures_are_drawn_without_a_look_at_the_folder(
    of_pictures: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be slow, or elsewhere than a stranger's bundle says."""
    monkeypatch.setattr("diffkit.standard.data.image_folder.read_tree", lambda *_: pytest.fail("it was read"))
    diffkit.load(of_pictures[0]).sample(n=1)


def test_penguins_are_drawn_without_their_package(monkeypatch: pytest.MonkeyPatch) -> None:
    data = create("data", "penguins")
    assert isinstance(data, Portable)
    x = torch.tensor(data.spec.mean).expand(1, 1, 5, 4)
    assert data.drawing(data.spec, lambda: None).draw(x).size == data.draw(x).size


@pytest.mark.parametrize("verb", ["evaluate", "compare"])
def test_figures_need_the_rows_and_say_where_they_were(
    verb: str, of_table: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, file = with_a_run(of_table[0]), of_table[1]
    file.rename(file.with_name("new.csv"))
    assert called(monkeypatch, verb, f"run={run}", METRIC) == 2
    said = capsys.readouterr().err
    assert f"{run.parent} read from data.file={file}: say where they are now with data.file=..." in said
    assert said.count("\n") == 1
    assert called(monkeypatch, verb, f"run={run}", METRIC, "data.file=no.csv") == 2
    said = capsys.readouterr().err
    assert "no.csv: there is no such file" in said and str(file) not in said


def test_figures_of_rows_elsewhere_are_the_same(of_table: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    run, file = with_a_run(of_table[0]), of_table[1]
    command = ["evaluate", f"run={run}", METRIC]
    assert called(monkeypatch, *command) == 0
    before = (run.parent / "evaluation.json").read_text()
    file.rename(file.with_name("new.csv"))
    assert called(monkeypatch, *command, f"data.file={file.with_name('new.csv')}") == 0
    assert (run.parent / "evaluation.json").read_text() == before


@pytest.mark.parametrize(
    ("header", "keys", "message"),
    [
        ("length (cm),mass (g)", {}, r"unit was \['mm', 'g'\] and is \['cm', 'g'\]"),
        ("width (mm),mass (g)", {}, r"names was \['length', 'mass'\] and is \['width', 'mass'\]"),
        ("length (mm),mass (g)", {"columns": ["mass"]}, r"shape was \[2\] and is \[1\]"),
        ("length (mm),mass (g)", {"label": None}, "conditions was {'label': 2} and is {}"),
    ],
)
def test_rows_of_another_kind_are_refused(
    header: str, keys: dict[str, Any], message: str, of_table: tuple[Path, Path]
) -> None:
    run, file = of_table
    other = table(file.with_name("new.csv"), header)
    with pytest.raises(DiffkitError, match=f"not what {run} was trained on: .*{message}"):
        open_run(run).data({"_part_": "table", "file": str(other), "label": "kind", **keys})


def test_what_the_bundle_does_not_tell_may_be_anything(of_table: tuple[Path, Path]) -> None:
    """As in those of older versions."""
    data = open_run(of_table[0]).data()
    assert matched(data, DataSpec((2,), mean=data.spec.mean, scale=data.spec.scale), "r") is data


def test_other_rows_are_standardised_as_the_model_wants_them(of_table: tuple[Path, Path]) -> None:
    run, file = of_table
    saved = open_run(run)
    shifted = table(file.with_name("new.csv"), shift=0.5)
    node = {"_part_": "table", "file": str(shifted), "label": "kind"}
    plain, seen = part("data", node, seed=0), saved.data(node)
    assert (
        (seen.spec.mean, seen.spec.scale) == (saved.spec.mean, saved.spec.scale) != (plain.spec.mean, plain.spec.scale)
    )
    for split in ("train", "test"):
        own, again = (data.spec.own(data.reference(split))["x"] for data in (plain, seen))
        torch.testing.assert_close(own, again)
        torch.testing.assert_close(seen.reference(split)["x"], saved.spec.standardise(own), atol=1e-5, rtol=1e-5)
