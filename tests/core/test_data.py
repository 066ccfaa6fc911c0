"""Data: units, and an order that can begin anywhere."""

import json
from itertools import islice
from typing import Any

import pytest
import torch

from diffkit.core.data import Data, DataSpec, epoch_order, order, rows_of, texts


@pytest.mark.parametrize(("rows", "batch_size"), [(10, 3), (10, 10), (7, 20), (1, 4), (12, 4)])
@pytest.mark.parametrize("start", [0, 1, 5, 13])
def test_order_from_any_start_is_the_uninterrupted_one(rows: int, batch_size: int, start: int) -> None:
    whole = [b.tolist() for b in islice(order(3, rows, batch_size), start + 6)]
    assert [b.tolist() for b in islice(order(3, rows, batch_size, start), 6)] == whole[start:]
    assert all(len(b) == batch_size for b in whole)


def test_every_epoch_sees_every_row_once() -> None:
    seen = torch.cat(list(islice(order(0, 10, 4), 5)))
    assert sorted(seen[:10].tolist()) == sorted(seen[10:].tolist()) == list(range(10))
    assert seen[:10].tolist() != seen[10:].tolist()


def test_order_depends_on_seed_and_epoch_alone() -> None:
    assert epoch_order(0, 1, 50).tolist() == epoch_order(0, 1, 50).tolist()
    assert len({tuple(epoch_order(s, e, 50).tolist()) for s in (0, 1) for e in (0, 1)}) == 4


SPEC = DataSpec((2, 3), {"label": 4, "text": None}, "cm", (1.0, 5.0), (2.0, 0.5), 0.0, 8.0)


def test_units_there_and_back() -> None:
    x = torch.tensor([[[1.0, 3.0, 0.0], [5.0, 6.0, 7.0]]])
    z = SPEC.standardise(x)
    torch.testing.assert_close(z, torch.tensor([[[0.0, 1.0, -0.5], [0.0, 2.0, 4.0]]]))
    torch.testing.assert_close(SPEC.restore(z), x)


def test_restore_keeps_to_the_range() -> None:
    assert SPEC.restore(torch.tensor([[[-9.0, 0.0, 99.0]] * 2])).aminmax() == (0.0, 8.0)
    assert DataSpec((1,)).restore(torch.tensor([[-9.0]])).item() == -9
    assert DataSpec((1,), low=0.0).restore(torch.tensor([[-9.0]])).item() == 0


def test_spec_survives_json() -> None:
    assert DataSpec.from_dict(json.loads(json.dumps(SPEC.to_dict()))) == SPEC


def test_rows_of_tensors_and_lists() -> None:
    rows = rows_of({"x": torch.arange(3.0), "text": ["a", "b", "c"]}, torch.tensor([2, 0]))
    assert rows["x"].tolist() == [2, 0]
    assert rows["text"] == ["c", "a"]


class Rows(Data):
    """Two rows of training and two to test with."""

    def reference(self, split: Any) -> Any:
        return {"text": {"train": ["b", None], "test": ["a", "b"]}[split]}

    def draw(self, x: Any, titles: Any = ()) -> Any:
        raise NotImplementedError


def test_the_texts_of_a_column_are_those_of_both_splits_once_each() -> None:
    assert texts(Rows(), "text") == ["a", "b"]
