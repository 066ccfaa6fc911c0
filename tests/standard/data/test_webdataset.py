"""Pictures in tar shards: what the library wrote is read, in an order that the seed and the epoch alone decide."""

import io
import json
import tarfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import webdataset
from PIL import Image

from diffkit.core.bad import BadSample
from diffkit.core.data import texts
from diffkit.core.errors import DiffkitError
from diffkit.standard.data.shards import store
from diffkit.standard.data.shards.names import shard_names
from diffkit.standard.data.webdataset import WebDataset
from diffkit.testing import check_data

SIDE, ROWS, EACH = 4, 40, 5


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DIFFKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def pixels(row: int) -> np.ndarray[Any, Any]:
    """Of a number, other ones for each."""
    return np.random.default_rng(row).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


def png(row: int) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels(row)).save(content, "PNG")
    return content.getvalue()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight shards of five rows, by the library."""
    folder = tmp_path_factory.mktemp("shards")
    with webdataset.ShardWriter(f"{folder}/s-%03d.tar", maxcount=EACH, verbose=0) as writer:
        for row in range(ROWS):
            picture = Image.fromarray(pixels(row))
            writer.write({"__key__": f"{row:04}", "png": picture, "txt": f"row {row}\nthe {row}", "cls": row % 3})
    return folder


def shard(path: Path, members: Mapping[str, bytes]) -> str:
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return str(path)


def data(shards: Any, **given: Any) -> WebDataset:
    return WebDataset(shards, **{"resolution": SIDE, "workers": 0, "batch_size": 4, "open_shards": 2, **given})


class Trainer:
    """The part of a trainer that data look at."""

    def __init__(self, rank: int, world: int) -> None:
        self.global_rank, self.world_size, self.strategy, self.default_root_dir = rank, world, self, ""
        self.root_device = torch.device("cpu")


def told(part: WebDataset, batches: int, start: int = 0, rank: int = 0, world: int = 1) -> list[list[int]]:
    """The rows of some batches, from what each row is told."""
    part.start = start
    part.trainer = Trainer(rank, world)  # type: ignore[assignment]
    return [
        [int(text.split()[1]) for text in batch["text"]] for batch in islice(iter(part.train_dataloader()), batches)
    ]


def test_contracts(written: Path) -> None:
    levels = np.stack([pixels(row) for row in range(ROWS)])
    check_data(partial(data, str(written), mean=float(levels.mean()), scale=float(levels.std()), flip=True))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the library leaves a file open
def test_rows_are_what_the_library_wrote_and_reads(written: Path) -> None:
    part = data(str(written))
    library = webdataset.WebDataset(sorted(map(str, written.glob("*.tar"))), shardshuffle=False).decode("rgb8")
    wanted = {sample["txt"]: sample for sample in library}
    assert len(wanted) == ROWS == part.total and part.spec.conditions == {"label": 3, "text": None}
    found = [part.load(split, row) for split in ("train", "test") for row in range(part.count(split))]
    for row in found:
        sample = wanted.pop("\n".join(row["text"]))
        assert np.array_equal(row["x"].permute(1, 2, 0).numpy(), sample["png"]) and row["label"] == sample["cls"]
    assert not wanted
    assert texts(part, "text") == sorted(text for row in range(ROWS) for text in (f"row {row}", f"the {row}"))


def test_a_share_is_held_out_by_keys_alone(written: Path, tmp_path: Path) -> None:
    def held(part: WebDataset) -> set[str]:
        return {part.load("test", row)["text"][0] for row in range(part.count("test"))}

    ends = {"png": png, "txt": lambda row: f"row {row}".encode()}
    members = {f"{row:04}.{end}": content(row) for row in range(ROWS) for end, content in ends.items()}
    part, other = data(str(written), held_out=0.2), data(shard(tmp_path / "one.tar", members), held_out=0.2)
    assert held(part) == held(other) and part.count("test") == 8 and part.count("train") == 32
    whole = data(str(written / "s-00[0-5].tar"), test_shards=str(written / "s-{006..007}.tar"))
    assert whole.count("train") == 30 and held(whole) == {f"row {row}" for row in range(30, 40)}


def test_an_epoch_has_every_row_once_from_two_shards_at_a_time(written: Path) -> None:
    part = data(str(written / "*.tar"), held_out=0.1)
    rows = [row for batch in told(part, 18) for row in batch]
    first, second = rows[:36], rows[36:]
    assert Counter(first) == Counter(second) and len(set(first)) == 36 and first != second
    shards = [row // EACH for row in first]
    near = [len(set(shards[at : at + 4])) for at in range(32)]
    assert max(near) <= 4 and sum(n > 1 for n in near) > 16  # two groups meet at most, and shards are mixed in each
    assert told(data(str(written / "*.tar"), seed=1), 9) != told(part, 9)


def test_a_resumed_stream_is_the_rest_of_the_whole(written: Path) -> None:
    whole = told(data(str(written)), 30)
    for start in (1, 8, 9, 10, 23):
        assert told(data(str(written)), 4, start) == whole[start : start + 4]


def test_workers_and_devices_change_nothing(written: Path) -> None:
    whole = told(data(str(written)), 12)
    assert told(data(str(written), workers=2), 12) == whole
    shares = [told(data(str(written)), 12, rank=rank, world=2) for rank in range(2)]
    assert [[a, c, b, d] for (a, b), (c, d) in zip(*shares, strict=True)] == whole


def test_json_may_tell_captions_and_class(tmp_path: Path) -> None:
    members: dict[str, bytes] = {}
    for row, said in enumerate(
        [{"caption": "a"}, {"caption": ["b", "c"], "label": 4}, {"caption": None}, {"label": 0}]
    ):
        members |= {f"d/{row}.v1.json": b"{", f"d/{row}.png": png(row), f"d/{row}.json": json.dumps(said).encode()}
    members |= {f"d/{row}.PNG": png(row) for row in range(4, 40)} | {"d/.hidden.png": b"", "d/readme": b""}
    part = data(shard(tmp_path / "a.tar", members), held_out=0.05)
    assert part.total == 40 and part.spec.conditions == {"label": 5, "text": None}
    rows = [part.load(split, row) for split in ("train", "test") for row in range(part.count(split))]
    found = {bytes(row["x"].permute(1, 2, 0).numpy().tobytes()): (row["text"], row["label"]) for row in rows}
    wanted = [(("a",), -1), (("b", "c"), 4), ((), -1), ((), 0), ((), -1)]
    assert [found[pixels(row).tobytes()] for row in range(5)] == wanted
    assert data(shard(tmp_path / "a.tar", members), labels=False, json_caption="x").spec.conditions == {}
    with pytest.raises(DiffkitError, match="class_names are 2, and there are rows of class 4"):
        data(str(tmp_path / "a.tar"), class_names=["a", "b"])


def good(rows: int = 120) -> dict[str, bytes]:
    return {f"g{row}.png": png(row) for row in range(rows)}


BAD: dict[str, tuple[dict[str, bytes], str]] = {
    "no picture": ({"k.txt": b"a"}, "bad.tar: k.txt: there is no picture under its key"),
    "apart": ({"k.png": b"", "l.txt": b"a", "k.txt": b""}, "bad.tar: l.txt: there is no picture"),
    "two": ({"k.jpg": b"", "k.png": b""}, "bad.tar: k.jpg: there are two pictures"),
    "web page": ({"k.cls": b"1", "k.jpg": b"<html>"}, "bad.tar: k.jpg: it is a web page"),
    "empty": ({"k.png": b""}, "bad.tar: k.png: it is empty"),
    "truncated": ({"k.cls": b"1", "k.png": png(1)[:90]}, "bad.tar: k.png: it is damaged"),
    "class": ({"k.cls": b"cat", "k.png": png(1), "a.cls": b"1", "a.png": png(1)}, "bad.tar: k.cls: its class is no"),
    "json": ({"k.cls": b"1", "k.json": b"[]", "k.png": png(1)}, "k.cls: its .json is no JSON object"),
    "caption": ({"k.png": png(1), "k.txt": b"a \xff"}, r"bad.tar: k.txt, byte 2 \(0xff\): it is not UTF-8"),
    "json caption": ({"k.png": png(1), "k.json": b'{"caption": 3}'}, "k.json, byte 0: 3 is no caption"),
    "long name": ({f"{'k' * 200}.cls": b"1", f"{'k' * 200}.png": b"x"}, f"bad.tar: {'k' * 200}.png: it is no picture"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_row_is_named_or_skipped(case: str, tmp_path: Path) -> None:
    members, said = BAD[case]
    shards = [
        shard(tmp_path / "good.tar", {**good(200), "z.cls": b"1", "z.png": png(1)}),
        shard(tmp_path / "bad.tar", members),
    ]
    bad = [found for found in data(shards).scan() if found is not None]
    assert bad and all(isinstance(found, BadSample) for found in bad)
    with pytest.raises(DiffkitError, match=said):
        raise next(found for found in bad if found.fault)
    skipped = data(shards, on_bad="skip")
    assert sum(len(batch["x"]) for batch in islice(iter(skipped.train_dataloader()), 60)) == 240


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:3300])


def unended(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: 10 * 1024])


FAULTS: dict[str, tuple[Callable[[Path], Any], str, int]] = {
    "truncated": (cut, "it ends too early", 4),
    "without its end": (unended, "it ends too early", 11),
    "damaged": (lambda path: path.write_bytes(path.read_bytes()[:4096] + b"x" * 512 * 8), "it ends too early", 5),
    "no tar": (lambda path: path.write_bytes(b"<html>" * 1000), "it is no tar", 1),
    "compressed": (lambda path: path.write_bytes(b"\x1f\x8b" + bytes(1000)), "it is no tar", 1),
    "empty": (lambda path: path.write_bytes(b""), "it is no tar", 1),
    "missing": (lambda path: path.unlink(), "there is no such file", 1),
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_bad_shard_is_named_or_counts_as_a_row(case: str, tmp_path: Path) -> None:
    damage, said, rows = FAULTS[case]
    shards = [
        shard(tmp_path / "good.tar", good()),
        shard(tmp_path / "bad.tar", {f"k{i}.png": png(i) for i in range(10)}),
    ]
    damage(tmp_path / "bad.tar")
    part = data(shards)
    assert part.total == 120 + rows
    assert len([found for found in part.scan() if found]) == 1
    with pytest.raises(DiffkitError, match=f"^{tmp_path}/bad.tar: {said}.*on_bad=skip"):
        part.setup("fit")
    skipped = data(shards, on_bad="skip")
    skipped.setup("fit")
    assert len(skipped._bad.known) == 1
    assert sum(len(batch["x"]) for batch in islice(iter(skipped.train_dataloader()), 40)) == 160


@pytest.mark.parametrize("empty", ["train", "test"])
def test_a_split_without_rows_is_said(empty: str, tmp_path: Path) -> None:
    shards = [shard(tmp_path / "some.tar", good(2)), shard(tmp_path / "none.tar", {})]
    train, test = shards[:: -1 if empty == "train" else 1]
    with pytest.raises(DiffkitError, match=f"the {empty} split of these data has no rows"):
        data(train, test_shards=test).reference(empty)  # type: ignore[arg-type]


def test_links_and_paths_that_lead_away_are_only_names(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    shard(path, {"../../out.png": png(0), "/abs/b.png": png(1), **good(10)})
    with tarfile.open(path, "a") as tar:
        for name, kind in (("l.png", tarfile.SYMTYPE), ("h.png", tarfile.LNKTYPE), ("f.png", tarfile.FIFOTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
    before = sorted(tmp_path.parent.rglob("*.png"))
    part = data(str(path))
    assert part.total == 12 and not [found for found in part.scan() if found]
    assert sorted(tmp_path.parent.rglob("*.png")) == before


def test_a_shard_that_changes_is_counted_again_and_one_that_shrinks_is_bad(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    shard(path, good(20))
    part = data(str(path))
    shard(path, good(10))
    assert data(str(path)).total == 10
    assert [found for found in part.scan() if found]


def remote(folder: Path) -> str:
    return f"file://{folder}/s-{{000..007}}.tar"


def fetched(cache: Path) -> int:
    return len(list(cache.rglob("*.tar")))


def test_remote_shards_are_fetched_when_needed_and_few_are_kept(written: Path, cache: Path) -> None:
    whole = told(data(str(written)), 30)
    part = data(remote(written), keep=4)
    assert fetched(cache) == 4  # all eight were counted
    seen = []
    for batch in islice(iter(part.train_dataloader()), 30):
        seen.append([int(text.split()[1]) for text in batch["text"]])
        assert fetched(cache) <= 5
    assert [sorted(batch) for batch in seen] != seen
    assert sorted(row for batch in seen[:27] for row in batch) == sorted(row for batch in whole[:27] for row in batch)
    assert told(data(remote(written), keep=4, workers=2), 30) == seen
    assert fetched(cache) <= 5 and not list(cache.rglob("*.half"))


def test_a_resumed_stream_of_remote_shards_fetches_two_groups_alone(
    written: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = data(remote(written), keep=4)
    for path in cache.rglob("*.tar"):
        path.unlink()
    asked: list[str] = []
    real = store._fetch
    monkeypatch.setattr(store, "_fetch", lambda shard, target: (asked.append(shard), real(shard, target)))
    told(part, 1, start=900)
    assert len(asked) <= 4  # of eight: two that are read, and the next two


def test_what_is_out_of_reach_is_said(written: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "PAUSE", 0.0)
    with pytest.raises(DiffkitError, match="there is no such file, or it cannot be read"):
        data(["http://127.0.0.1:9/a.tar", str(written)]).setup("fit")
    with pytest.raises(DiffkitError, match=r"data.shards=.*nothing.* names no shard"):
        data(str(written / "nothing-*.tar"))
    with pytest.raises(DiffkitError, match="keep=3 is too few"):
        data(remote(written), keep=3)


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("a-{08..11}.tar", ["a-08.tar", "a-09.tar", "a-10.tar", "a-11.tar"]),
        ("s3://b/{x,y}-{0..1}.tar", ["s3://b/x-0.tar", "s3://b/x-1.tar", "s3://b/y-0.tar", "s3://b/y-1.tar"]),
        (["https://h/a.tar?k=1", "b.tar"], ["https://h/a.tar?k=1", "b.tar"]),
    ],
)
def test_patterns(pattern: str | Sequence[str], names: list[str]) -> None:
    assert shard_names(pattern, "shards") == names


def test_a_shard_that_is_named_twice_is_refused() -> None:
    with pytest.raises(DiffkitError, match=r"the shard a-1.tar is named 2 times"):
        shard_names(["a-{0..2}.tar", "a-1.tar"], "data.shards")
