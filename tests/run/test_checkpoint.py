import os
import random
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch

from diffkit.core.errors import DiffkitError, RunFailed
from diffkit.run.checkpoint import Checkpoints, newest, plain, verify


def write(path: Path, step: int = 7, **content: object) -> Path:
    Checkpoints().save_checkpoint({"global_step": step, "w": torch.randn(40, 40), **content}, path)
    return path


def test_round_trip_of_plain_values(tmp_path: Path) -> None:
    path = write(tmp_path / "last.ckpt", d=OrderedDict(a=(1, 2.5, None)), e=[True, "x"])
    content = Checkpoints().load_checkpoint(path)
    assert content["d"] == {"a": (1, 2.5, None)} and content["e"] == [True, "x"]
    assert type(content["d"]) is dict
    assert verify(path) == 7
    assert [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]


def test_it_stays_an_archive_that_others_read(tmp_path: Path) -> None:
    path = write(tmp_path / "last.ckpt")
    assert zipfile.ZipFile(path).testzip() is None
    assert torch.load(path, weights_only=True)["global_step"] == 7


def test_every_flipped_bit_is_found(tmp_path: Path) -> None:
    whole = write(tmp_path / "last.ckpt").read_bytes()
    damaged = tmp_path / "damaged.ckpt"
    draw = random.Random(0)
    places = [draw.randrange(8 * len(whole)) for _ in range(200)] + [8 * (len(whole) - i) for i in range(1, 105)]
    for place in places:
        content = bytearray(whole)
        content[place // 8] ^= 1 << place % 8
        damaged.write_bytes(content)
        with pytest.raises(DiffkitError, match="damaged"):
            verify(damaged)


@pytest.mark.parametrize("content", [b"", b"some text", b"PK" * 300])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "last.ckpt").write_bytes(content)
    with pytest.raises(DiffkitError, match=r"last\.ckpt"):
        Checkpoints().load_checkpoint(tmp_path / "last.ckpt")


def test_newest_passes_over_what_is_damaged(tmp_path: Path) -> None:
    write(tmp_path / "best.ckpt", 3)
    write(tmp_path / "previous.ckpt", 5)
    last = write(tmp_path / "last.ckpt", 9)
    assert newest(tmp_path).step == 9
    last.write_bytes(last.read_bytes()[:-500] + last.read_bytes()[-499:])
    found = newest(tmp_path)
    assert (found.path.name, found.step) == ("previous.ckpt", 5)
    assert "last.ckpt" in found.damaged[0]


def test_newest_says_that_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(DiffkitError, match="none was written"):
        newest(tmp_path)


def test_anything_but_plain_data_is_refused_with_its_place() -> None:
    with pytest.raises(DiffkitError, match=r"checkpoint.callbacks.mine\[1\] is a pathlib"):
        plain({"callbacks": {"mine": [1, Path("x")]}})


def test_a_failed_save_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "last.ckpt", 3)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunFailed, match=r"last.ckpt.*No space left"):
        write(path, 4)
    assert verify(path) == 3
    assert [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]
