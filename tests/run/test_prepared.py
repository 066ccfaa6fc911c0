"""A conditioner that can encode the data's texts ahead is told all of them before training."""

from collections.abc import Sequence
from types import SimpleNamespace

import pytest

from diffkit import compose
from diffkit.compose.build import build
from diffkit.core.conditioner import Prepared
from diffkit.standard.conditioners import text
from diffkit.standard.data.digits import captions

from .conftest import TINY


class Ready(text.Text, Prepared):
    """Notes what it is told."""

    told: list[str]

    def prepare(self, texts: Sequence[str]) -> None:
        self.told = list(texts)


def test_all_captions_are_told_to_the_model_and_to_its_average(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "Text", Ready)
    digits = ("data=digits", "conditioner=[class,text]", "conditioner.text.width=4")
    parts = build(compose([*TINY[1:2], *TINY[3:], *digits]))
    parts.task.trainer = SimpleNamespace(
        datamodule=parts.data, strategy=SimpleNamespace(root_device="cpu"), global_rank=0, world_size=1
    )
    parts.task.on_train_start()
    for model in (parts.task.model, parts.task.ema):
        conditioner = model.conditioners.parts[1]
        assert conditioner.told == sorted({caption for digit in range(10) for caption in captions(digit)})
