"""Captions and labels that a row lacks, or that are none: they train, or are refused by the row before training."""

from typing import Any

import pytest
import small
import torch

from diffkit.compose.build import build_model
from diffkit.core.data import DataSpec, texts
from diffkit.core.errors import DiffkitError
from diffkit.run.provenance import fingerprint
from diffkit.standard.data.memory import MemoryData


class Rows(MemoryData):
    """Six rows with these columns."""

    def __init__(self, text: Any, label: Any) -> None:
        super().__init__(DataSpec((1, 8, 8), {"label": 10, "text": None}), 6, 0)
        self.text, self.label = text, label

    def read(self, split: Any) -> dict[str, Any]:
        return {"x": torch.arange(6.0).reshape(6, 1, 1, 1).expand(-1, 1, 8, 8), "text": self.text, "label": self.label}

    def draw(self, x: Any, titles: Any = ()) -> Any:
        raise NotImplementedError


TEXT = ["a", ("b", "bb"), None, (), ["c"], "d" * 1000]
LABEL = torch.tensor([0, 9, -1, 3, -1, 2])


def test_rows_without_a_caption_or_a_label_are_told_nothing() -> None:
    data = Rows(TEXT, LABEL)
    batch = next(iter(data.train_dataloader()))
    place = batch["x"][:, 0, 0, 0].long()
    for i, text, label in zip(place.tolist(), batch["text"], batch["label"].tolist(), strict=True):
        assert text in {0: ("a",), 1: ("b", "bb"), 2: (None,), 3: (None,), 4: ("c",), 5: ("d" * 1000,)}[i]
        assert label == LABEL[i]
    assert data.reference("test")["text"] == ["a", "bb", None, None, "c", "d" * 1000]
    assert texts(data, "text") == ["a", "b", "bb", "c", "d" * 1000]


@pytest.mark.filterwarnings("ignore:Text reads the first 64 bytes")
def test_they_learn_the_null_of_what_they_lack() -> None:
    torch.manual_seed(0)
    data = Rows(TEXT, LABEL)
    conditioners = build_model(small.choices("both"), data.spec).conditioners
    batch = data.reference("train")
    vector = conditioners(batch, 6).vector
    assert vector is not None
    vector.sum().backward()
    text, label = (null.vector.grad for null in conditioners.nulls)
    assert text.tolist() == [2] * 8 and label.tolist() == [2] * 128


@pytest.mark.parametrize(
    ("text", "label", "message"),
    [
        ([*TEXT[:5], 7], LABEL, "Rows, train split: the column text, row 5 is 7: give a string"),
        ([*TEXT[:5], ("a", None)], LABEL, "row 5 is .'a', None.: give a string"),
        ([*TEXT[:5], float("nan")], LABEL, "row 5 is nan: give a string"),
        ([*TEXT[:5], "  "], LABEL, "row 5 has an empty caption: give None"),
        ([*TEXT[:5], ("a", "")], LABEL, "row 5 has an empty caption: give None"),
        ([*TEXT[:5], "a\udcff"], LABEL, "row 5 is .* not UTF-8"),
        (TEXT[:5], LABEL, "text has 5 entries for 6 rows"),
        (None, LABEL, "the column text is missing"),
        (TEXT, LABEL + 1, "the column label, row 1 is 10: give 0 to 9"),
        (TEXT, LABEL - 1, "the column label, row 2 is -2: give 0 to 9"),
        (TEXT, LABEL.float(), "label must be a tensor"),
        (TEXT, [0, 1, 2, 3, 4, 5], "label must be a tensor"),
    ],
)
def test_what_is_no_caption_and_no_class_is_refused(text: Any, label: Any, message: str) -> None:
    """By the fingerprint already, which is taken before a run's folder is made."""
    with pytest.raises(DiffkitError, match=message):
        fingerprint(Rows(text, label))
