"""Sets of the library datasets that are made here: saved, in files, and on a hub that is out of reach."""

import io
import socket
import time
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from diffkit.core import DiffkitError
from diffkit.testing import check_data
from diffkit_huggingface.columns import columns_of
from diffkit_huggingface.data import Huggingface

ROWS, SIDE = 40, 4


def pixels(row: int) -> Any:
    """Of a number, other ones for each."""
    return np.random.default_rng(row).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


def png(row: int) -> bytes:
    content = io.BytesIO()
    Pillow.fromarray(pixels(row)).save(content, "PNG")
    return content.getvalue()


def table(rows: int = ROWS, **columns: Any) -> Any:
    from datasets import ClassLabel, Dataset, Features, Image, List, Value

    features = Features(
        {
            "photo": Image(),
            "caption": List(Value("string")),
            "source": Value("string"),
            "kind": ClassLabel(names=["a", "b"]),
        }
    )
    whole = {
        "photo": [{"bytes": png(row), "path": None} for row in range(rows)],
        "caption": [[f"row {row}", f"the {row}"] for row in range(rows)],
        "source": [f"{row}.png" for row in range(rows)],
        "kind": [row % 2 for row in range(rows)],
    }
    return Dataset.from_dict({**whole, **columns}, features=features)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same rows saved, as a Parquet file, and with a split for testing."""
    from datasets import DatasetDict, disable_progress_bars

    disable_progress_bars()
    place = tmp_path_factory.mktemp("sets")
    table().save_to_disk(str(place / "saved"))
    table().to_parquet(str(place / "rows.parquet"))
    DatasetDict({"train": table(), "validation": table(6)}).save_to_disk(str(place / "both"))
    return place


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


def data(path: Path, **given: Any) -> Huggingface:
    return Huggingface(str(path), **{"resolution": SIDE, "workers": 0, "batch_size": 4, **given})


def told(part: Huggingface, batches: int, start: int = 0) -> list[list[int]]:
    part.start = start
    return [
        [int(text.split()[1]) for text in batch["text"]] for batch in islice(iter(part.train_dataloader()), batches)
    ]


def test_contracts(folder: Path) -> None:
    levels = np.stack([pixels(row) for row in range(ROWS)])
    check_data(partial(data, folder / "saved", mean=float(levels.mean()), scale=float(levels.std()), flip=True))


@pytest.mark.parametrize("name", ["saved", "rows.parquet"])
def test_rows_are_those_of_the_set(folder: Path, name: str) -> None:
    part = data(folder / name)
    assert part.spec.conditions == {"label": 2, "text": None} and part.spec.class_names == ("a", "b")
    rows = [part.load(split, row) for split in ("train", "test") for row in range(part.count(split))]
    assert len(rows) == ROWS and part.count("test") == 4
    for row in rows:
        number = int(row["text"][0].split()[1])
        assert row["text"] == (f"row {number}", f"the {number}") and row["label"] == number % 2
        assert np.array_equal(row["x"].permute(1, 2, 0).numpy(), pixels(number))
    assert len({row["text"] for row in rows}) == ROWS
    assert sorted(part.captions("text")) == sorted(text for row in rows for text in row["text"])


def test_a_split_may_be_for_testing(folder: Path) -> None:
    part = data(folder / "both", test_split="validation", text="source", label="")
    assert part.spec.conditions == {"text": None} and part.count("train") == ROWS
    assert [part.load("test", row)["text"] for row in range(part.count("test"))] == [
        (f"{row}.png",) for row in range(6)
    ]
    with pytest.raises(DiffkitError, match="has no split 'test', but train, validation"):
        data(folder / "both", test_split="test")


def test_the_stream_is_the_same_for_workers_and_after_a_resume(folder: Path) -> None:
    whole = told(data(folder / "saved"), 12)
    assert told(data(folder / "saved", workers=2), 12) == whole
    assert told(data(folder / "saved"), 2, start=8) == whole[8:10]
    assert len({row for batch in whole[:9] for row in batch}) == 36


def test_a_stream_is_as_exact(folder: Path) -> None:
    def part(**given: Any) -> Huggingface:
        return data(folder / "saved", streaming=True, buffer=10, held_out=0.2, **given)

    whole = told(part(), 20)
    assert told(part(workers=2), 10) == whole[:10] != told(part(seed=1), 10)
    for start in (3, 8, 13):
        assert told(part(), 3, start=start) == whole[start : start + 3]
    epochs = [sorted(row for batch in some for row in batch) for some in (whole[:8], whole[8:16])]
    assert epochs == [list(range(8, ROWS))] * 2 and whole[:8] != whole[8:16]
    assert sorted(part().reference("test")["label"].tolist()) == [0] * 4 + [1] * 4
    assert part(seed=3).reference("train")["text"] == part().reference("train")["text"]
    assert len([found for found in part().scan() if found is None]) == ROWS


def test_a_stream_on_two_devices_is_shared(folder: Path) -> None:
    class Trainer:
        world_size, default_root_dir = 2, ""

        def __init__(self, rank: int) -> None:
            import torch

            self.global_rank, self.strategy, self.root_device = rank, self, torch.device("cpu")

    shares = []
    for rank in range(2):
        part: Any = data(folder / "saved", streaming=True)
        part.trainer = Trainer(rank)
        shares.append(told(part, 5))
    joined = [[a, c, b, d] for (a, b), (c, d) in zip(*shares, strict=True)]
    assert joined == told(data(folder / "saved", streaming=True), 5)


def test_what_a_stream_cannot_keep_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DiffkitError, match=r"on_bad=skip needs rows that can be had in any order"):
        data(folder / "saved", streaming=True, on_bad="skip")
    part: Any = data(folder / "saved", streaming=True)
    with pytest.raises(DiffkitError, match="cannot be kept"):
        part.keep("latent", lambda x: x, "")
    part.counts["train"] = 35
    with pytest.raises(DiffkitError, match=r"says that it has 35 rows, and gave 36: data.streaming=false"):
        told(part, 10)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"photo": [{"bytes": b"<html>", "path": None}] * ROWS}, r"saved, train, row \d+: it is a web page"),
        ({"photo": [None] * ROWS}, r"row \d+: there is no picture"),
        ({"caption": [["a", " "]] * ROWS}, r"row \d+: a caption is empty"),
    ],
)
def test_a_bad_row_is_named(columns: dict[str, Any], said: str, tmp_path: Path) -> None:
    table(**columns).save_to_disk(str(tmp_path / "saved"))
    with pytest.raises(DiffkitError, match=said):
        next(iter(data(tmp_path / "saved").train_dataloader()))
    assert all(data(tmp_path / "saved").scan())


def test_rows_without_caption_or_class_are_told_nothing(tmp_path: Path) -> None:
    table(caption=[None] * ROWS, kind=[None] * ROWS).save_to_disk(str(tmp_path / "saved"))
    row = data(tmp_path / "saved").load("train", 0)
    assert row["text"] == () and row["label"] == -1


def test_columns_are_found_by_what_they_hold() -> None:
    from datasets import ClassLabel, Image, Value

    kinds = {"i": Image(), "s": Value("string"), "n": Value("int64"), "c": ClassLabel(names=["x"])}
    assert columns_of(kinds, None, None, None).names() == ["i", "s", "c"]
    assert columns_of(kinds, None, "", "").names() == ["i"]
    for given, said in {
        ("x", None, None): "data.image=x is no column: there are i, s, n, c",
        (None, "n", None): "data.text=n holds",
        (None, None, "n"): "a ClassLabel is needed",
    }.items():
        with pytest.raises(DiffkitError, match=said):
            columns_of(kinds, *given)
    with pytest.raises(DiffkitError, match=r"data\.text may be s or t: choose one, or leave it out with ''"):
        columns_of({**kinds, "t": Value("string")}, None, None, None)
    with pytest.raises(DiffkitError, match=r"no column is known to hold pictures: say data\.image="):
        columns_of({"s": Value("string")}, None, None, None)


def test_a_hub_out_of_reach_is_one_sentence_in_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*given: Any, **more: Any) -> Any:
        raise OSError(-2, "Name or service not known")

    monkeypatch.setattr(socket, "create_connection", refused)
    start = time.monotonic()
    with pytest.raises(DiffkitError, match=r"no folder or file someone/pictures, and .* cannot be reached \(Name or"):
        Huggingface("someone/pictures")
    assert time.monotonic() - start < 10


def test_what_is_not_there_or_no_set_is_said(tmp_path: Path) -> None:
    with pytest.raises(DiffkitError, match=r"there is no /nowhere/rows.parquet: give a folder, a file"):
        Huggingface("/nowhere/rows.parquet")
    (tmp_path / "rows.parquet").write_bytes(b"nothing")
    with pytest.raises(DiffkitError, match=r"data=huggingface path=.*rows.parquet split=train: "):
        Huggingface(str(tmp_path / "rows.parquet"))
    (tmp_path / "rows.txt").touch()
    with pytest.raises(DiffkitError, match=r"rows.txt is none of .parquet"):
        Huggingface(str(tmp_path / "rows.txt"))
