"""Conditioners and nulls: who was told what, row by row."""

from collections.abc import Sequence

import torch
from toys import Vector, Words

from diffkit.core.condition import Condition
from diffkit.core.conditioner import Conditioners, Prepared


def both() -> Conditioners:
    conditioners = Conditioners([Vector(2), Words()])
    with torch.no_grad():
        for parameter in conditioners.parameters():
            parameter.fill_(-9)
    return conditioners


BATCH = {"label": torch.tensor([3, -1, 5]), "text": ["a bcd", "ef", None]}


def told(condition: Condition) -> list[tuple[list[float], list[float]]]:
    """Of each row: its vector, and its tokens without padding."""
    assert condition.vector is not None and condition.sequence is not None and condition.mask is not None
    rows = zip(condition.vector, condition.sequence, condition.mask, strict=True)
    return [(v.tolist(), s[m].flatten().tolist()) for v, s, m in rows]


def test_rows_without_a_value_get_the_null() -> None:
    assert told(both()(BATCH, 3)) == [([3, 3], [1, 3]), ([-9, -9], [2]), ([5, 5], [-9])]


def test_dropped_rows_get_the_null_of_that_conditioner_alone() -> None:
    keep = torch.tensor([[False, True, True], [True, False, True]])
    assert told(both()(BATCH, 3, keep)) == [([-9, -9], [1, 3]), ([-9, -9], [-9]), ([5, 5], [-9])]


def test_all_dropped_is_the_null() -> None:
    assert told(both()(BATCH, 3, torch.zeros(2, 3, dtype=torch.bool))) == told(both().null(3))


def test_a_missing_column_is_the_null() -> None:
    assert told(both()({"label": BATCH["label"]}, 3))[0] == ([3, 3], [-9])
    assert told(both()({}, 3)) == told(both().null(3)) == [([-9, -9], [-9])] * 3


def test_a_row_alone_is_the_row_among_many() -> None:
    for i, row in enumerate(told(both()(BATCH, 3))):
        one = {"label": torch.tensor([[3, -1, 5][i]]), "text": [["a bcd", "ef", None][i]]}
        assert told(both()(one, 1)) == [row]


def test_nulls_learn_where_rows_are_dropped() -> None:
    conditioners = both()
    condition = conditioners(BATCH, 3, torch.tensor([[True, True, False]] * 2))
    assert condition.vector is not None
    condition.vector.sum().backward()
    grad = conditioners.nulls[0].vector.grad
    assert grad.tolist() == [2, 2]  # rows 1 (no label) and 2 (dropped)


def test_no_conditioners_condition_on_nothing() -> None:
    none = Conditioners([])
    assert none({}, 3) == none.null(3) == Condition()


def test_spatial_null_has_the_latents_size() -> None:
    from diffkit.core.condition import ConditionSpec
    from diffkit.core.conditioner import Null

    null = Null(ConditionSpec(spatial=3))(2, (4, 5))
    assert null.spatial is not None and null.spatial.shape == (2, 3, 4, 5)


class Ready(Words, Prepared):
    """Notes what it was prepared for."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def prepare(self, texts: Sequence[str]) -> None:
        self.texts.extend(texts)


def test_those_that_prepare_get_the_texts_of_their_column() -> None:
    asked, ready = [], Ready()

    def texts(column: str) -> list[str]:
        asked.append(column)
        return ["a", "b"]

    Conditioners([Vector(2), ready, Words()]).prepare(texts)
    assert (asked, ready.texts) == (["text"], ["a", "b"])
