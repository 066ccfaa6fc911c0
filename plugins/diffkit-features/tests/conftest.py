"""Data that are given pictures."""

from collections.abc import Sequence
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from diffkit.core import Batch, Data, DataSpec


class Pictures(Data):
    """Some pictures, in their own units."""

    def __init__(self, x: Tensor, low: float | None = 0.0, high: float | None = 1.0) -> None:
        self.x, self.spec = x, DataSpec(tuple(x.shape[1:]), low=low, high=high)

    def reference(self, split: Literal["train", "test"]) -> Batch:
        """The same for both splits."""
        return {"x": self.x}

    def draw(self, x: Tensor, titles: Sequence[str] = ()) -> Any:
        raise NotImplementedError


@pytest.fixture(scope="session")
def pictures() -> type[Pictures]:
    """The class of such data."""
    return Pictures


@pytest.fixture
def some(pictures: type[Pictures]) -> Pictures:
    """Five colour pictures of 12 x 12 pixels."""
    return pictures(torch.rand(5, 3, 12, 12, generator=torch.Generator().manual_seed(0)))


@pytest.fixture(autouse=True)
def _found_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diffkit_features.pictures._found", {})
