"""Text as a condition."""

import pytest
import torch
from torch import Tensor

from diffkit.core.errors import DiffkitWarning
from diffkit.standard.conditioners.text import Text


def vectors(part: Text, texts: list[str]) -> Tensor:
    vector = part({"text": texts}).vector
    assert vector is not None
    return vector


@pytest.fixture
def part() -> Text:
    torch.manual_seed(0)
    part = Text(width=16, heads=2, length=12, gives="both")
    for parameter in part.parameters():  # as after some training: nothing is zero
        parameter.data += 0.1 * torch.randn_like(parameter)
    return part


@pytest.mark.filterwarnings("ignore:Text reads the first 12 bytes")
def test_any_string_is_encoded(part: Text) -> None:
    texts = ["", "seven", "sieben", "七", "семь", "7️⃣😀", "a\udc80b", "\x00", "long " * 100]
    encoded = vectors(part, texts)
    assert torch.isfinite(encoded).all()
    assert (torch.pdist(encoded) > 1e-3).all()


def test_padding_changes_nothing(part: Text) -> None:
    alone = vectors(part, ["six"])
    beside = vectors(part, ["a longer one", "six", ""])[1:2]
    assert torch.allclose(alone, beside, atol=1e-5)
    (one, many) = (part({"text": texts}) for texts in (["six"], ["a longer one", "six", ""]))
    assert one.sequence is not None and many.sequence is not None and many.mask is not None
    assert torch.allclose(one.sequence[0], many.sequence[1][many.mask[1]], atol=1e-5)


def test_what_is_beyond_the_length_is_not_seen_and_a_warning_says_so(part: Text) -> None:
    with pytest.warns(DiffkitWarning, match="the first 12 bytes of a text"):
        a, b, c = vectors(part, ["twelve bytes and more", "twelve bytes", "twelve byte"])
    assert torch.allclose(a, b, atol=1e-5)
    assert not torch.allclose(a, c, atol=1e-3)


def test_rows_come_back_in_their_order_however_often_a_text_is_there(part: Text) -> None:
    condition = part({"text": ["two", "one", "two", "three"]})
    assert condition.sequence is not None and condition.mask is not None
    assert torch.equal(condition.sequence[0], condition.sequence[2])
    assert condition.mask.sum(1).tolist() == [4, 4, 4, 6]
    assert torch.allclose(vectors(part, ["one"])[0], vectors(part, ["two", "one", "two", "three"])[1], atol=1e-5)


def test_the_order_of_letters_matters(part: Text) -> None:
    a, b = vectors(part, ["abc", "cba"])
    assert not torch.allclose(a, b, atol=1e-3)


@pytest.mark.parametrize("gives", ["vector", "sequence", "both"])
def test_it_fills_the_slots_that_it_declares(gives: str) -> None:
    part = Text(width=8, heads=2, gives=gives)  # type: ignore[arg-type]
    condition = part({"text": ["one", "three"]})
    assert (condition.vector is None) == (part.spec.vector is None) == (gives == "sequence")
    assert (condition.sequence is None) == (part.spec.sequence is None) == (gives == "vector")
