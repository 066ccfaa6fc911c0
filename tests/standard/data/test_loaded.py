"""Rows that are read as training goes: the same batches whoever reads them, from any step, and whatever is bad."""

import json
import pickle
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from jaxtyping import Float
from PIL.Image import Image
from torch import Tensor

from diffkit.core.bad import BadSample
from diffkit.core.data import Augmented, DataSpec, texts
from diffkit.core.errors import DiffkitError, DiffkitWarning
from diffkit.core.types import Batch
from diffkit.standard.data import LoadedData

ROWS = {"train": 250, "test": 50}
SPEC = DataSpec((2,), {"label": 3, "text": None}, mean=(100.0, 1.0), scale=(50.0, 2.0))


class Toy(LoadedData, Augmented):
    """Row i is (i, 1), to which augmenting adds random numbers; some of the training split are bad."""

    def __init__(self, bad: Sequence[int] = (), batch_size: int = 8, seed: int = 0, **given: Any) -> None:
        super().__init__(SPEC, batch_size, seed, **{"workers": 0, **given})
        self.bad = frozenset(bad)

    def count(self, split: str) -> int:
        return ROWS[split]

    def load(self, split: str, row: int) -> Batch:
        if split == "train" and row in self.bad:
            raise BadSample(f"file {row}", "rotten")
        x = torch.tensor([row, 1], dtype=torch.uint8)
        return {"x": x, "label": row % 3, "text": (f"a {row}", f"the {row}") if row % 2 else ()}

    def augment(self, rows: Batch, stream: torch.Generator) -> Batch:
        return {**rows, "x": rows["x"] + torch.rand(rows["x"].shape, generator=stream)}

    def captions(self, column: str) -> Iterator[str]:
        return (text for row in range(250) for text in self.load("train", row)["text"])

    def draw(self, x: Float[Tensor, "rows columns *d"], titles: Sequence[str] = ()) -> Image:
        raise NotImplementedError


class Trainer:
    """The part of a trainer that data look at."""

    def __init__(self, rank: int = 0, world: int = 1, folder: Path = Path()) -> None:
        self.global_rank, self.world_size, self.default_root_dir = rank, world, str(folder)
        self.strategy = self
        self.root_device = torch.device("cpu")


def batches(data: Toy, n: int) -> list[dict[str, Any]]:
    return [dict(batch) for batch in islice(iter(data.train_dataloader()), n)]


def rows(batch: Batch) -> list[int]:
    """Which rows are in a batch."""
    return [int(value + 1e-3) for value in SPEC.restore(batch["x"])[:, 0]]


def same(a: Batch, b: Batch) -> bool:
    return torch.equal(a["x"], b["x"]) and torch.equal(a["label"], b["label"]) and a["text"] == b["text"]


def on(data: Toy, **place: Any) -> Toy:
    data.trainer = Trainer(**place)  # type: ignore[assignment]
    return data


@pytest.mark.parametrize("workers", [1, 2])
def test_the_batches_are_the_same_for_any_number_of_workers(workers: int) -> None:
    bad = (3, 7, 8)
    alone = batches(Toy(bad, on_bad="skip"), 30)
    helped = batches(Toy(bad, on_bad="skip", workers=workers), 30)
    assert all(same(a, b) for a, b in zip(alone, helped, strict=True))


def test_a_row_has_its_own_class_caption_and_units() -> None:
    for batch in batches(Toy(batch_size=100, seed=2), 2):
        own = SPEC.restore(batch["x"])
        assert batch["x"].dtype == torch.float32
        assert ((own[:, 1] >= 1) & (own[:, 1] < 2)).all() and own[:, 1].std() > 0.2
        for row, label, text in zip(rows(batch), batch["label"].tolist(), batch["text"], strict=True):
            assert label == row % 3
            assert text in (f"a {row}", f"the {row}") if row % 2 else text is None


def test_an_epoch_has_every_row_once() -> None:
    assert sorted(row for batch in batches(Toy(batch_size=50), 5) for row in rows(batch)) == list(range(250))


def test_a_resumed_stream_is_the_rest_of_the_whole_with_bad_rows_too() -> None:
    whole = batches(Toy((3, 7, 8), on_bad="skip"), 35)
    rest = Toy((3, 7, 8), on_bad="skip")
    rest.start = 30
    assert all(same(a, b) for a, b in zip(batches(rest, 5), whole[30:], strict=True))


@pytest.mark.parametrize("world", [2, 4])
def test_devices_share_each_batch_and_read_their_own_rows_only(world: int) -> None:
    whole, read = batches(Toy((3,), on_bad="skip"), 5), list[int]()

    class Watched(Toy):
        def load(self, split: str, row: int) -> Batch:
            read.append(row)
            return Toy.load(self, split, row)

    shares = [batches(on(Watched((3,), on_bad="skip"), rank=rank, world=world), 5) for rank in range(world)]
    for step, batch in enumerate(whole):
        joined = torch.stack([share[step]["x"] for share in shares], 1).flatten(0, 1)
        assert torch.equal(joined, batch["x"])
        told = [text for row in zip(*(share[step]["text"] for share in shares), strict=True) for text in row]
        assert told == batch["text"]
    assert len(read) <= 5 * 8 + world * 3


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    with pytest.raises(DiffkitError, match="batch_size=8 cannot be shared by 3 devices"):
        batches(on(Toy(), rank=0, world=3), 1)


def test_validation_takes_the_first_rows_of_the_reference() -> None:
    held = list(Toy(batch_size=4, seed=1).val_dataloader())
    assert [len(batch["x"]) for batch in held] == [4] * 4
    reference = Toy(seed=5).reference("test")
    assert torch.equal(torch.cat([batch["x"] for batch in held]), reference["x"][:16])
    assert sorted(rows(reference)) == list(range(50)) != rows(reference)
    assert set(SPEC.restore(reference["x"])[:, 1].tolist()) == {1.0}  # not augmented


def test_the_reference_is_a_sample_of_many_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diffkit.standard.data.loaded.REFERENCE", 50)
    some = rows(Toy().reference("train"))
    assert len(some) == 50 and some == rows(Toy(seed=1).reference("train"))
    assert 80 < sum(some) / 50 < 170 and some != sorted(some)


def test_an_error_names_the_row_and_what_to_do() -> None:
    with pytest.raises(DiffkitError, match=r"^file 5: rotten; mend or remove it, .* data\.on_bad=skip"):
        batches(Toy((5,)), 40)


def test_a_row_stands_in_for_a_bad_one() -> None:
    good, mended = batches(Toy(batch_size=50), 5), batches(Toy((7, 8), batch_size=50, on_bad="skip"), 5)
    for a, b in zip(good, mended, strict=True):
        assert rows(b) == [9 if row in (7, 8) else row for row in rows(a)]
        assert torch.equal(a["x"] - b["x"] != 0, torch.tensor([[row in (7, 8), False] for row in rows(a)]))


def test_skipped_rows_are_counted_once_and_listed(tmp_path: Path) -> None:
    def listed() -> list[dict[str, str]]:
        return [json.loads(line) for line in (tmp_path / "bad_samples.jsonl").read_text().splitlines()]

    data = on(Toy((7, 8), on_bad="skip"), folder=tmp_path)
    data.reference("train")
    batches(data, 80)
    assert sorted(map(str, listed())) == sorted(str({"file": f"file {row}", "fault": "rotten"}) for row in (7, 8))
    with pytest.warns(DiffkitWarning, match=r"2 of the 300 rows .*bad_samples\.jsonl"):
        data.teardown("fit")
    again = on(Toy((7, 8, 9), on_bad="skip"), folder=tmp_path)  # a resumed run, and one more
    batches(again, 80)
    assert len(listed()) == 3


def test_more_than_one_percent_ends_the_run() -> None:
    batches(Toy(range(3), on_bad="skip"), 40)
    with pytest.raises(DiffkitError, match=r"4 of the 300 rows of the data are bad, which is more than the 1%.*rotten"):
        batches(Toy(range(4), on_bad="skip"), 40)


def test_nothing_stands_in_where_all_are_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diffkit.core.bad.TOLERATED", 1.0)
    with pytest.raises(DiffkitError, match="100 rows in turn are bad, the last of them file"):
        batches(Toy(range(250), on_bad="skip"), 1)


@pytest.mark.parametrize(
    ("x", "fault"),
    [
        (torch.tensor([1.0, torch.nan]), "it has values that are NaN or infinite"),
        (torch.zeros(3), r"its shape is \(3,\), not \(2,\)"),
    ],
)
def test_rows_that_are_not_as_declared_are_bad(x: Tensor, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Toy, "load", lambda data, split, row: {"x": x, "label": 0, "text": ()})
    with pytest.raises(DiffkitError, match=rf"row \d+ of the train split: {fault}"):
        batches(Toy(), 1)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_scan_says_of_every_row_what_is_wrong(workers: int) -> None:
    data = Toy((4, 249), workers=workers)
    found = list(data.scan())
    assert len(found) == data.total == 300
    assert {i: str(bad) for i, bad in enumerate(found) if bad} == {4: "file 4: rotten", 249: "file 249: rotten"}


def test_captions_are_known_beforehand() -> None:
    assert {text for batch in batches(Toy(), 40) for text in batch["text"] if text} <= set(texts(Toy(), "text"))


def test_a_worker_that_is_started_gets_what_it_needs() -> None:
    data = on(Toy((1,)))
    data.reference("test")
    copy = pickle.loads(pickle.dumps(data))
    assert copy.trainer is None and torch.equal(copy.load("train", 9)["x"], data.load("train", 9)["x"])
