"""The digits: what they say of themselves is true."""

import torch
from sklearn.datasets import load_digits

from diffkit.standard.data.digits import TEMPLATES, Digits, captions


def test_standardised_by_the_training_split() -> None:
    x = Digits().reference("train")["x"].double()
    assert abs(x.mean().item()) < 1e-6
    assert abs(x.std(correction=0).item() - 1) < 1e-6


def test_splits_hold_every_picture_once_and_the_same_share_of_each_class() -> None:
    data = Digits()
    train, test = data.reference("train"), data.reference("test")
    assert (len(train["x"]), len(test["x"])) == (1257, 540)
    raw = data.spec.restore(torch.cat([train["x"], test["x"]])).flatten(1).round().long()
    assert sorted(map(tuple, raw.tolist())) == sorted(map(tuple, load_digits().data.astype(int).tolist()))
    counts = [torch.bincount(split["label"]) for split in (train, test)]
    assert ((counts[1] - 0.3 * (counts[0] + counts[1])).abs() < 1).all()


def test_splits_do_not_depend_on_the_seed() -> None:
    assert torch.equal(Digits(seed=0).reference("test")["x"], Digits(seed=1).reference("test")["x"])


def test_captions_name_the_digit_in_every_template() -> None:
    assert captions(7)[:3] == ("seven", "a seven", "the digit 7")
    every = [text for digit in range(10) for text in captions(digit)]
    assert len(set(every)) == 10 * len(TEMPLATES)
    reference = Digits().reference("test")
    assert all(
        text in captions(label) for text, label in zip(reference["text"], reference["label"].tolist(), strict=True)
    )
    assert len(set(reference["text"])) == 10 * len(TEMPLATES)


def test_a_picture_of_samples() -> None:
    data = Digits()
    x = data.spec.restore(data.reference("test")["x"][:6]).reshape(2, 3, 1, 8, 8)
    width, height = data.draw(x, ["one", "two", "three"]).size
    assert width > height > 0
