"""What is made of rows that are read as training goes: once, by whichever run, and anew where a row is another."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from jaxtyping import Float
from PIL.Image import Image
from torch import Tensor

from diffkit.core.data import DataSpec
from diffkit.core.errors import DiffkitError
from diffkit.core.types import Batch
from diffkit.standard.data import LoadedData


class Toy(LoadedData):
    """Row i is (i + shift, 1)."""

    def __init__(self, shift: int = 0, workers: int = 0) -> None:
        super().__init__(DataSpec((2,), mean=(10.0,), scale=(5.0,)), batch_size=5, seed=0, workers=workers)
        self.shift = shift

    def count(self, split: str) -> int:
        return 20

    def load(self, split: str, row: int) -> Batch:
        return {"x": torch.tensor([row + self.shift, 1], dtype=torch.uint8)}

    def captions(self, column: str) -> Sequence[str]:
        return ()

    def draw(self, x: Float[Tensor, "rows columns *d"], titles: Sequence[str] = ()) -> Image:
        raise NotImplementedError


class Made:
    """Three numbers of a row, and how many rows were asked for."""

    def __init__(self) -> None:
        self.rows = 0

    def __call__(self, x: Tensor) -> Tensor:
        self.rows += len(x)
        return torch.stack([x[:, 0], x[:, 0] + 1, x.sum(1)], 1)[:, None]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DIFFKIT_CACHE", str(tmp_path))
    return tmp_path


def asked(data: Toy, digest: str = "a", batches: int = 8) -> int:
    """How many rows were made something of in two epochs; every batch has what belongs to it."""
    made = Made()
    data.keep("latent", made, digest)
    seen: list[Any] = [*islice(iter(data.train_dataloader()), batches), *data.val_dataloader()]
    for batch in seen:
        assert set(batch) == {"x", "latent"}
        torch.testing.assert_close(batch["latent"], Made()(batch["x"]))
    return made.rows - 2  # the first row of a split says the shape


def test_a_row_is_asked_for_once_and_by_the_next_run_not_at_all() -> None:
    assert asked(Toy()) == 40
    assert asked(Toy(workers=2)) == 0
    assert asked(Toy(), digest="b") == 40


def test_a_row_that_has_changed_is_made_anew() -> None:
    asked(Toy())
    assert asked(Toy(shift=1)) == 40


def test_what_is_damaged_is_made_anew(cache: Path) -> None:
    asked(Toy())
    (file,) = cache.glob("latents/*/train.values")
    content = bytearray(file.read_bytes())
    content[100] ^= 1
    file.write_bytes(content)
    assert asked(Toy()) == 1


def test_a_place_that_cannot_be_written_is_refused(cache: Path) -> None:
    (cache / "latents").write_text("")
    with pytest.raises(DiffkitError, match="set DIFFKIT_CACHE"):
        asked(Toy())
