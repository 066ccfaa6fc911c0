"""The stream of training batches."""

from collections import Counter
from itertools import islice
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from diffkit.core.data import Augmented, Batch, DataSpec, texts
from diffkit.core.errors import DiffkitError
from diffkit.standard.data.digits import Digits, captions
from diffkit.standard.data.memory import MemoryData


def batches(data: Digits, n: int) -> list[dict[str, Any]]:
    return cast(list[dict[str, Any]], list(islice(iter(data.train_dataloader()), n)))


class Place:
    """The part of a trainer that data look at."""

    def __init__(self, rank: int, world: int) -> None:
        self.global_rank, self.world_size = rank, world
        self.strategy = self
        self.root_device = torch.device("cpu")


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return torch.equal(a["x"], b["x"]) and torch.equal(a["label"], b["label"]) and a["text"] == b["text"]


def test_a_resumed_stream_is_the_rest_of_the_whole() -> None:
    whole = batches(Digits(batch_size=500, seed=3), 8)
    rest = Digits(batch_size=500, seed=3)
    rest.start = 5
    for a, b in zip(batches(rest, 3), whole[5:], strict=True):
        assert same(a, b)


def test_order_and_captions_depend_on_the_seed() -> None:
    a, b = (batches(Digits(batch_size=64, seed=seed), 1)[0] for seed in (0, 1))
    assert not torch.equal(a["x"], b["x"])
    assert a["text"] != b["text"]


def test_captions_change_from_step_to_step_alike_for_all_and_suit_the_picture() -> None:
    data = Digits(batch_size=200, seed=0)
    told: dict[bytes, set[str]] = {}
    for batch in batches(data, 40):
        assert len(set(batch["text"])) == 10
        for x, label, text in zip(batch["x"], batch["label"].tolist(), batch["text"], strict=True):
            assert text in captions(label)
            told.setdefault(x.numpy().tobytes(), set()).add(text)
    assert Counter(map(len, told.values())).most_common(1)[0][0] >= 3


@pytest.mark.parametrize("world", [1, 2, 4])
def test_devices_share_each_batch(world: int) -> None:
    whole = batches(Digits(batch_size=8, seed=1), 3)
    shares = []
    for rank in range(world):
        data = Digits(batch_size=8, seed=1)
        data.trainer = Place(rank, world)  # type: ignore[assignment]
        shares.append(batches(data, 3))
    for step, batch in enumerate(whole):
        joined: Tensor = torch.stack([share[step]["x"] for share in shares], 1).flatten(0, 1)
        assert torch.equal(joined, batch["x"])
        assert [text for row in zip(*(s[step]["text"] for s in shares), strict=True) for text in row] == batch["text"]


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    data = Digits(batch_size=8)
    data.trainer = Place(0, 3)  # type: ignore[assignment]
    with pytest.raises(DiffkitError, match="batch_size=8 cannot be shared by 3 devices"):
        batches(data, 1)


def test_validation_takes_the_same_rows_of_the_test_split_each_time() -> None:
    first, second = (list(Digits(batch_size=32, seed=seed).val_dataloader()) for seed in (0, 5))
    assert len(first) == 4
    assert all(same(dict(a), dict(b)) for a, b in zip(first, second, strict=True))
    assert torch.equal(torch.cat([b["x"] for b in first]), Digits().reference("test")["x"][:128])


def test_all_captions_of_all_rows_are_known_beforehand() -> None:
    """Each row has several, of which a batch and `reference` show one."""
    data = Digits(batch_size=200, seed=0)
    known = texts(data, "text")
    assert known == sorted({caption for digit in range(10) for caption in captions(digit)})
    assert {text for batch in batches(data, 40) for text in batch["text"]} <= set(known)


class Shifted(MemoryData, Augmented):
    """Rows 0 to 9, each with its number, to which a number between 0 and 1 is added when it is seen."""

    def read(self, split: Any) -> Batch:
        return {"x": torch.arange(10.0)[:, None], "label": torch.arange(10)}

    def draw(self, x: Tensor, titles: Any = ()) -> Any:
        raise NotImplementedError

    def augment(self, rows: Batch, stream: torch.Generator) -> Batch:
        return {**rows, "x": rows["x"] + torch.rand(len(rows["x"]), 1, generator=stream)}


def shifted(seed: int = 0, start: int = 0, place: Place | None = None) -> list[dict[str, Any]]:
    data = Shifted(DataSpec((1,), {"label": 10}), 4, seed)
    data.start = start
    data.trainer = place  # type: ignore[assignment]
    return list(islice(iter(data.train_dataloader()), 6))  # type: ignore[arg-type]


def amounts(batches: list[dict[str, Any]]) -> Tensor:
    return torch.stack([batch["x"][:, 0] - batch["label"] for batch in batches])


def test_rows_are_changed_anew_each_time_they_are_seen_as_the_seed_says() -> None:
    found = amounts(shifted())
    assert found.min() > 0 and found.max() < 1 and len(found.flatten().unique()) == 24
    assert torch.equal(found, amounts(shifted()))
    assert not torch.equal(found, amounts(shifted(seed=1)))


def test_a_resumed_run_sees_the_same_changes() -> None:
    for a, b in zip(shifted(start=2), shifted()[2:], strict=False):
        assert torch.equal(a["x"], b["x"])


@pytest.mark.parametrize("world", [2, 4])
def test_a_row_is_changed_alike_on_any_number_of_devices(world: int) -> None:
    shares = [shifted(place=Place(rank, world)) for rank in range(world)]
    for step, batch in enumerate(shifted()):
        assert torch.equal(torch.stack([s[step]["x"] for s in shares], 1).flatten(0, 1), batch["x"])


def test_held_out_rows_and_references_are_as_they_are() -> None:
    data = Shifted(DataSpec((1,), {"label": 10}), 4, 0)
    for batch in (data.reference("train"), *cast(list[Any], list(data.val_dataloader()))):
        assert torch.equal(batch["x"][:, 0], batch["label"].float())
