"""Pictures as networks see them, each of which is asked once."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from diffkit_features import pictures as shared
from diffkit_features.pictures import Network, see


class Asked:
    """The mean colour of what it is shown, and how many pictures that were."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, x: Tensor) -> Tensor:
        self.count += len(x)
        return x.mean((2, 3))


def network(asked: Any, size: tuple[int, int] = (12, 12)) -> Network:
    return Network(nn.Linear(1, 1), asked, size, (0.25, 0.5, 0.75), (0.5, 0.25, 0.125))


def test_pictures_are_standardised_by_channel(some: Any) -> None:
    colour = some.x.mean((2, 3))
    wanted = (colour - torch.tensor([0.25, 0.5, 0.75])) / torch.tensor([0.5, 0.25, 0.125])
    torch.testing.assert_close(network(Asked())(some.x), wanted)


def test_another_size_keeps_what_is_flat_and_its_mean(some: Any) -> None:
    flat = torch.tensor([0.25, 0.5, 1.0]).reshape(1, 3, 1, 1).expand(2, 3, 9, 30)
    shown: list[Tensor] = []
    network(lambda x: shown.append(x) or x.mean((2, 3)), (5, 7))(flat)
    torch.testing.assert_close(shown[0], torch.tensor([0.0, 0.0, 2.0]).reshape(1, 3, 1, 1).expand(2, 3, 5, 7))
    network(lambda x: shown.append(x) or x.mean((2, 3)), (3, 3))(some.x)
    # all pixels count: a filter of the four nearest alone would miss most of them
    torch.testing.assert_close(shown[1].mean((2, 3)), network(Asked())(some.x), rtol=0, atol=0.15)


def test_a_picture_is_asked_for_once(some: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "BATCH", 2)
    asked = Asked()
    whole = see("a", network(asked), some, some.x)
    again = see("a", network(asked), some, some.x.flip(0)[:4])
    assert asked.count == 5 and torch.equal(again, whole.flip(0)[:4])
    torch.testing.assert_close(whole, network(Asked())(some.x))
    see("b", network(asked), some, some.x)
    assert asked.count == 10


def test_the_oldest_are_forgotten_first(some: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "KEPT", 3)
    asked = Asked()
    see("a", network(asked), some, some.x)
    assert len(shared._found) == 3
    see("a", network(asked), some, some.x[2:])
    assert asked.count == 5
    see("a", network(asked), some, some.x[:1])
    assert asked.count == 6 and len(shared._found) == 3
