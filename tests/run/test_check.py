"""`diffkit check` reads all of the data, and runs meet bad files as it said they would."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from diffkit import compose
from diffkit.core.errors import DiffkitError, DiffkitWarning
from diffkit.run.check import check
from diffkit.standard.data.digits import Digits

FOLDER = ("data=image_folder", "data.folder=pictures", "data.resolution=4", "data.workers=0", "data.batch_size=8")
PLAIN = ("conditioner=[]", "guidance=[]")


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """120 pictures of two classes, one of them empty."""
    monkeypatch.chdir(tmp_path)
    for i in range(120):
        file = tmp_path / "pictures" / "ab"[i % 2] / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (4, 4, 3), dtype=np.uint8)).save(file)
    (tmp_path / "pictures/b/7.png").write_bytes(b"")
    return tmp_path / "pictures"


def checked(*overrides: str, scan: bool = True) -> None:
    check(compose([*FOLDER, *PLAIN, "denoiser=mlp", "denoiser.width=8", "metric=[]", *overrides]), scan)


def test_a_bad_file_is_said_and_refused_as_training_would(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DiffkitError, match=r"1 of the 120 rows .*7\.png: it is empty .*on_bad=skip") as refused:
        checked()
    assert refused.value.status == 2
    assert "rows         120 read, 1 bad\n  pictures/b/7.png: it is empty (0 bytes)\n" in capsys.readouterr().out
    checked("data.on_bad=skip", "out=found")
    fault = {"file": "pictures/b/7.png", "fault": "it is empty (0 bytes)"}
    assert json.loads(Path("found/bad_samples.jsonl").read_text()) == fault
    checked(scan=False)
    (pictures / "8.png").write_bytes(b"<html>")
    with pytest.raises(DiffkitError, match=r"2 of the 121 rows .*more than the 1%"):
        checked("data.on_bad=skip")


def test_of_many_faults_the_first_ten_are_shown(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(12):
        (pictures / f"bad{i}.png").write_bytes(b"no")
    with pytest.raises(DiffkitError, match="13 of the 132 rows"):
        checked()
    said = capsys.readouterr().out
    assert said.count("pictures/") == 10 and "and 3 more" in said


def test_data_in_memory_are_looked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    read = Digits.read

    def spoilt(data: Digits, split: str) -> object:
        columns = read(data, split)  # type: ignore[arg-type]
        x = columns["x"].clone()
        x[5, 0, 0, 0] = torch.nan
        return {**columns, "x": x}

    monkeypatch.setattr(Digits, "read", spoilt)
    with pytest.raises(DiffkitError, match="Digits, train split: row 5 of x has values that are NaN"):
        check(compose(["denoiser=mlp", "denoiser.width=8"]))


def test_a_run_with_a_skipped_file_resumes_to_the_same_weights(pictures: Path, run: Callable[..., Path]) -> None:
    given = (*FOLDER, "data.on_bad=skip", "samples=0")
    with pytest.warns(DiffkitWarning, match="1 of the 120 rows of the data are bad"):
        whole = run(*given, "out=whole", "trainer.max_steps=20", "task.decay=constant")
    with pytest.warns(DiffkitWarning):
        part = run(*given, "out=part", "trainer.max_steps=11", "task.decay=constant")
    with pytest.warns(DiffkitWarning):
        run(f"resume={part}", "trainer.max_steps=20")
    assert (whole / "bundle/model.safetensors").read_bytes() == (part / "bundle/model.safetensors").read_bytes()
    for folder in (whole, part):
        assert len((folder / "bad_samples.jsonl").read_text().splitlines()) == 1
