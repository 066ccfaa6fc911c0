"""Models of timm, its own code, with random weights from files.

timm imports torchvision for its training pipelines and for frozen normalisation, none of which is used: where it is not
installed, empty classes stand in its place.
"""

import enum
import importlib
import sys
from collections.abc import Iterator
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

import diffkit
from diffkit.core import DiffkitError
from diffkit.testing import check_features
from diffkit_features.image_models import Timm, network

pytestmark = pytest.mark.skipif(find_spec("timm") is None, reason="timm is not installed")
MODEL = "test_vit.r160_in1k"


class Empty(ModuleType):
    """A module that has every class, each of which does nothing."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name == "InterpolationMode":
            return enum.Enum(name, "NEAREST BILINEAR BICUBIC BOX HAMMING LANCZOS")
        return type(name, (nn.Module,), {})


class StandIn(MetaPathFinder, Loader):
    """Finds any module of torchvision."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(name, self, is_package=True) if name.split(".")[0] == "torchvision" else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return Empty(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """There is nothing to run."""


@pytest.fixture(scope="module")
def timm() -> Iterator[Any]:
    """The library; afterwards it is as if it had not been imported."""
    before, finder = set(sys.modules), StandIn()
    if find_spec("torchvision") is None:
        sys.meta_path.append(finder)
    try:
        yield importlib.import_module("timm")
    finally:
        sys.meta_path[:] = [one for one in sys.meta_path if one is not finder]
        for name in set(sys.modules) - before:
            if name.split(".")[0] in ("timm", "torchvision"):
                del sys.modules[name]
        network.cache_clear()


@pytest.fixture(scope="module")
def model(timm: Any) -> Any:
    """One with its classifier, as checkpoints have it."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return timm.create_model(MODEL, pretrained=False).eval()


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_the_features_are_what_the_classifier_is_given(suffix: str, model: Any, some: Any, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    file = tmp_path / f"weights.{suffix}"
    if suffix == "pth":
        torch.save({"state_dict": model.state_dict(), "epoch": 3}, file)
    else:
        save_file(model.state_dict(), file)
    features = Timm(MODEL, str(file))
    x = nn.functional.interpolate(some.x, (160, 160), mode="bicubic", antialias=True).clamp(0, 1)
    with torch.no_grad():
        wanted = model.forward_head(model.forward_features((x - 0.5) / 0.5), pre_logits=True)
    torch.testing.assert_close(features(some, some.x), wanted, rtol=1e-4, atol=1e-5)
    check_features(features, some)
    node = {"_part_": "timm", "architecture": MODEL, "pretrained": str(file)}
    metric = diffkit.create("metric", "kernel", data=some, features=node)
    metric.update(some.x, {})
    # the same five rows twice: no row is its own pair within a set, and each is across
    k = (wanted.double() @ wanted.double().T / wanted.shape[1] + 1) ** 3
    assert metric.compute().item() == pytest.approx(
        2 * (k.sum() - k.trace()).item() / 20 - 2 * k.mean().item(), rel=1e-3
    )


class Trap:
    """A pickle that writes a file when it is loaded."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return Path.touch, (self.file,)


def test_a_checkpoint_runs_no_code(timm: Any, some: Any, tmp_path: Path) -> None:
    torch.save({"state_dict": Trap(tmp_path / "sprung")}, tmp_path / "trap.pth")
    with pytest.raises(DiffkitError, match=f"features=timm architecture={MODEL}: weights_only=True blocked loading"):
        Timm(MODEL, str(tmp_path / "trap.pth"))(some, some.x)
    assert not (tmp_path / "sprung").exists()


def test_what_does_not_fit_is_refused(timm: Any, model: Any, some: Any, tmp_path: Path) -> None:
    with pytest.raises(DiffkitError, match=r"there is no file /nowhere.pth: give a checkpoint"):
        Timm(MODEL, "/nowhere.pth").check(some)
    file = tmp_path / "weights.pth"
    torch.save({name: value for name, value in model.state_dict().items() if name != "norm.weight"}, file)
    with pytest.raises(DiffkitError, match=r"has no weights for norm.weight: it is another model's"):
        Timm(MODEL, str(file))(some, some.x)
    with pytest.raises(DiffkitError, match="architecture=resnet_of_mine: Unknown model"):
        Timm("resnet_of_mine", str(file))(some, some.x)


def test_a_timm_that_cannot_be_used_is_one_sentence(some: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    (tmp_path / "w.pth").touch()
    with pytest.raises(DiffkitError, match=r"timm cannot be used here .*: pip install timm torchvision"):
        Timm(MODEL, str(tmp_path / "w.pth"))(some, some.x)
