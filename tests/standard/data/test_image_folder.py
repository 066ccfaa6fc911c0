"""A folder of pictures: its rows, splits, classes and captions, and everything that may be wrong with it."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from diffkit.core.data import texts
from diffkit.core.errors import DiffkitError
from diffkit.core.noise import generator
from diffkit.standard.data.captions import captions_file
from diffkit.standard.data.image_folder import ImageFolder
from diffkit.standard.data.listing import Packed, listed
from diffkit.testing import check_data

SIDE = 6
NAMES = [f"{kind}/{n:02}.png" for kind in ("cats", "dogs") for n in range(20)]


def picture(name: str) -> np.ndarray[Any, Any]:
    """Of a name, another one for each."""
    return np.random.default_rng(list(name.encode())).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


def save(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(name)).save(folder / name)
    return folder


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("plain"), *NAMES)


def data(folder: Path, **given: Any) -> ImageFolder:
    return ImageFolder(str(folder), **{"resolution": SIDE, "workers": 0, "batch_size": 4, **given})


def files(part: ImageFolder, split: Any) -> list[str]:
    return [os.fsdecode(name) for name in part.tree.files[split]]


def test_contracts(plain: Path) -> None:
    levels = np.stack([picture(name) for name in NAMES])
    check_data(partial(data, plain, mean=float(levels.mean()), scale=float(levels.std()), flip=True))


def test_rows_are_the_files(plain: Path) -> None:
    part = data(plain)
    for split in ("train", "test"):
        for row, name in enumerate(files(part, split)):
            loaded = part.load(split, row)
            assert np.array_equal(loaded["x"].permute(1, 2, 0).numpy(), picture(name))
            assert part.spec.class_names[loaded["label"]] == name.partition("/")[0]
    assert part.spec.class_names == ("cats", "dogs") and part.spec.conditions == {"label": 2}
    assert sorted(files(part, "train") + files(part, "test")) == NAMES
    assert len(files(part, "test")) == 4
    assert data(plain, labels=False).spec.conditions == {}


def test_a_new_picture_leaves_most_where_they_are(plain: Path, tmp_path: Path) -> None:
    more = save(tmp_path, *NAMES, "cats/new.png")
    assert len(set(files(data(plain), "test")) - set(files(data(more), "test"))) <= 1


@pytest.mark.parametrize("held", ["test", "val", "validation"])
def test_folders_called_train_and_test_are_the_splits(held: str, tmp_path: Path) -> None:
    save(tmp_path, "train/a/1.png", "train/b/2.png", f"{held}/b/3.png", f"{held}/c/4.png", "train/5.png", "other/6.png")
    part = data(tmp_path)
    assert part.spec.class_names == ("a", "b", "c")
    assert files(part, "train") == ["train/5.png", "train/a/1.png", "train/b/2.png"]
    assert files(part, "test") == [f"{held}/b/3.png", f"{held}/c/4.png"]
    assert part.tree.classes["train"].tolist() == [-1, 0, 1]


def test_half_of_the_pictures_are_mirrored_alike_for_any_step(plain: Path) -> None:
    straight, flipped = (
        next(iter(data(plain, flip=flip, batch_size=36).train_dataloader()))["x"] for flip in (False, True)
    )
    mirrored = [torch.equal(a, b.flip(-1)) for a, b in zip(straight, flipped, strict=True)]
    assert all(m or torch.equal(a, b) for m, a, b in zip(mirrored, straight, flipped, strict=True))
    assert 9 <= sum(mirrored) <= 27
    drawn = [torch.rand(1, 1, 1, 1, generator=generator("augment", 0, 0, i)).item() < 0.5 for i in range(36)]
    assert mirrored == drawn


def test_hidden_and_other_files_are_left_out_and_links_followed(tmp_path: Path) -> None:
    save(tmp_path / "set", "a.png", "b.PNG", ".hidden.png", ".git/c.png", "deep/er/d.png")
    (tmp_path / "set" / "array.npy").write_bytes(b"")
    save(tmp_path / "elsewhere", "e.png")
    (tmp_path / "set" / "link").symlink_to(tmp_path / "elsewhere")
    found = listed(tmp_path / "set")
    assert found.pictures == ["a.png", "b.PNG", "deep/er/d.png", "link/e.png"]
    assert found.others == 1


def unreadable(folder: Path) -> Path:
    (folder / "loop").symlink_to(folder)
    return folder


REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda folder: folder / "gone", "gone does not exist"),
    "file": (lambda folder: save(folder, "a.png") / "a.png", r"a\.png is a file"),
    "empty": (lambda folder: folder, r"holds no picture \(\.bmp .*\.webp, in sub-folders too\)"),
    "one": (lambda folder: save(folder, "a.png"), "holds 1 picture .* two or more"),
    "loop": (unreadable, "loop is a link to a folder that it is in"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_folder_that_is_of_no_use_is_named(case: str, tmp_path: Path) -> None:
    make, said = REFUSED[case]
    with pytest.raises(DiffkitError, match=said):
        data(make(tmp_path))


def test_each_picture_has_the_captions_beside_it(tmp_path: Path) -> None:
    save(tmp_path, *NAMES)
    for name in NAMES[:-1]:
        (tmp_path / name).with_suffix(".txt").write_text(f"the {name}\na {name}")
    part = data(tmp_path)
    assert part.spec.conditions == {"label": 2, "text": None}
    assert part.load("test", 1)["text"] == tuple(f"{a} {files(part, 'test')[1]}" for a in ("the", "a"))
    assert [str(bad) for bad in part.scan() if bad] == [f"{tmp_path}/dogs/19.txt: there is no such file"]
    with pytest.raises(DiffkitError, match=r"dogs/19\.txt"):
        texts(part, "text")
    assert len(texts(data(tmp_path, on_bad="skip"), "text")) == 2 * 39


CSV = (
    b'\xef\xbb\xbffile_name,text\ncats/00.png,"a cat, two\nlines"\ncats/00.png,again\n'
    b"cats/01.png,caf\xe9\ncats/02.png,\n"
)
JSONL = (
    b'{"file": "./cats/00.png", "caption": ["a cat", "a pet"]}\n{"file": "cats/01.png", "caption": null}\n'
    b'{"file": "cats/02.png", "caption": "\\ud800"}\n\n{"file": "cats/03.png", "caption": 7}\n'
)


def test_captions_from_one_file(plain: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(CSV)
    (tmp_path / "t.jsonl").write_bytes(JSONL)
    table, lines = (captions_file(tmp_path / name) for name in ("t.csv", "t.jsonl"))
    assert table["cats/00.png"] == ("a cat, two\nlines", "again")
    at = CSV.index(b"\xe9")
    assert str(table["cats/01.png"]).startswith(f"{tmp_path}/t.csv, byte {at} (0xe9): it is not UTF-8")
    assert "a caption is empty" in str(table["cats/02.png"])
    assert lines["cats/00.png"] == ("a cat", "a pet") and lines["cats/01.png"] == ()
    assert "half a letter" in str(lines["cats/02.png"]) and "7 is no caption" in str(lines["cats/03.png"])
    part = data(plain, captions=str(tmp_path / "t.jsonl"))
    found = [str(bad) for bad in part.scan() if bad]
    assert len(found) == 38 and sum("there is no caption for it" in bad for bad in found) == 36
    first = files(part, "train").index("cats/00.png")
    assert part.load("train", first)["text"] == ("a cat", "a pet")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.csv", b"file_name,label\na,b\n", "needs the columns file_name and text, and has file_name, label"),
        ("t.csv", b'file_name,text\na,"b\n', "it is not CSV"),
        ("t.jsonl", b'{"file": "a", "text": "b"}\n{oops\n', "byte 27: it is not JSON"),
        ("t.jsonl", b'{"file": "nowhere.png", "text": "b"}\n', "names no picture in"),
        ("t.txt", b"", r"give a \.csv or a \.jsonl file"),
        ("gone.csv", None, "cannot be read: No such file"),
    ],
)
def test_a_file_of_captions_that_is_of_no_use(
    name: str, content: bytes | None, said: str, plain: Path, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DiffkitError, match=said):
        data(plain, captions=str(tmp_path / name))


def test_many_names_are_kept_in_one_piece() -> None:
    names = [b"a", b"", b"longer/\xff.png"]
    assert list(Packed(names)) == names and len(Packed(names)) == 3
