"""Frozen encoders: each text is encoded once, what was said is kept on disk, and weights stay where they are."""

import warnings
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from shutil import copytree
from threading import Thread
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from diffkit import DiffkitError
from diffkit.core import DiffkitWarning
from diffkit_clip import cache
from diffkit_clip.encoders import FrozenText

TEXTS = ["a cat", "two very small dogs on a red mat", "", "x"]
CLOSE = {"rtol": 1e-4, "atol": 1e-5}
Build = Callable[..., FrozenText]


def refuse(*_: Any) -> Any:
    raise AssertionError("the weights were loaded")


def kept() -> list[Path]:
    return sorted((cache.folder() / "encoders").glob("*"))


def other_weights(folder: str, to: Path) -> str:
    """The same network with other weights."""
    copy = copytree(folder, to)
    tensors = load_file(copy / "model.safetensors")
    save_file({name: 1.5 * a for name, a in tensors.items()}, copy / "model.safetensors", {"format": "pt"})
    return str(copy)


def test_what_was_said_of_the_data_is_not_asked_again(
    folders: dict[str, str],
    build: Build,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    first = build("t5", gives="both")
    first.prepare(TEXTS)
    assert "Encoding 4 texts" in capsys.readouterr().err
    again = build("t5", gives="both")
    monkeypatch.setattr("diffkit_clip.towers.AnyTower.load", refuse)
    again.prepare(TEXTS)
    batch = {"text": [TEXTS[i] for i in (2, 0, 0, 1)]}
    for a, b in zip(vars(first(batch)).values(), vars(again(batch)).values(), strict=True):
        assert (a is None and b is None) or torch.equal(a, b)
    assert len(kept()) == 1 and capsys.readouterr().err == ""
    for changed in ({"gives": "vector"}, {"pooling": "cls"}, {"length": 4}, {"normalise": False}):
        with pytest.raises(AssertionError, match="were loaded"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            build("t5", **{"gives": "both", **changed}).prepare(TEXTS)
    with pytest.raises(AssertionError, match="were loaded"):
        build("t5", other_weights(folders["t5"], tmp_path / "other"), gives="both").prepare(TEXTS)


@pytest.mark.parametrize("damage", [lambda b: b[:-9], lambda b: b"", lambda b: b[:-20] + bytes([b[-20] ^ 1]) + b[-19:]])
def test_a_damaged_file_is_computed_anew(build: Build, damage: Callable[[bytes], bytes]) -> None:
    first = build("bert")
    first.prepare(TEXTS)
    (file,) = kept()
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    again = build("bert")
    again.prepare(TEXTS)
    assert torch.equal(vector(again), vector(first)) and file.read_bytes() == whole


def vector(part: FrozenText) -> Tensor:
    told = part({"text": TEXTS}).vector
    assert told is not None
    return told


def test_a_file_is_there_whole_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads while others write it; and one that cannot be written is done without."""
    wanted = {"vector": torch.arange(100_000.0)}
    writers = [Thread(target=cache.save, args=("0" * 64, wanted)) for _ in range(4)]
    for writer in writers:
        writer.start()
    found = [cache.load("0" * 64) for _ in range(50)]
    for writer in writers:
        writer.join()
    assert all(f is None or torch.equal(f["vector"], wanted["vector"]) for f in [*found, cache.load("0" * 64)])
    assert cache.load("0" * 64) is not None and len(kept()) == 1
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.warns(DiffkitWarning, match="is not kept in .*: No space left on device"):
        cache.save("1" * 64, wanted)
    assert len(kept()) == 1


def test_a_prompt_that_is_new_is_encoded_and_a_copy_knows_what_the_first_does(build: Build) -> None:
    part = build("clip").eval()
    part.prepare(TEXTS[:2])
    copy = deepcopy(part)
    assert copy.encoder is part.encoder
    torch.testing.assert_close(vector(copy), vector(build("clip")), **CLOSE)
    assert part.encoder._table is not None and set(part.encoder._table.place) == set(TEXTS[:2])
    vector(part.train())
    assert set(part.encoder._table.place) == set(TEXTS)
    assert vector(part.to(torch.bfloat16)).dtype == torch.bfloat16


def test_shapes_need_no_weights(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diffkit_clip.pretrained.digest", refuse)
    with torch.device("meta"):
        part = build("bert", gives="both")
    assert (part.spec.vector, part.spec.sequence, part.digest.device.type) == (16, 16, "meta")
    assert not list(part.parameters()) and list(part.state_dict()) == ["digest"]


def test_weights_stay_out_and_others_are_refused(folders: dict[str, str], build: Build, tmp_path: Path) -> None:
    """What is saved is the digest: it fits a copy of the encoder elsewhere, and no other one."""
    part = build("bert").eval()
    vector(part)
    assert [(name, a.shape) for name, a in part.state_dict().items()] == [("digest", (32,))]
    moved = build("bert", str(copytree(folders["bert"], tmp_path / "copy"))).eval()
    moved.load_state_dict(part.state_dict())
    assert torch.equal(vector(moved), vector(part))
    other = build("bert", other_weights(folders["bert"], tmp_path / "other")).eval()
    vector(other)
    other.load_state_dict(part.state_dict())  # compared again, whatever it was used for before
    with pytest.raises(DiffkitError, match=r"holds other weights \(sha256 \w{12}\) than the encoder that this model"):
        vector(other)
