import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from diffkit import DiffkitError, compose
from diffkit.compose.build import build
from diffkit.compose.plain import read_yaml
from diffkit.core.data import DataSpec
from diffkit.run import bundle
from diffkit.run.folder import write_yaml

from .conftest import TINY


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from omegaconf import OmegaConf

    folder = tmp_path_factory.mktemp("bundle") / "b"
    config: Any = OmegaConf.to_container(compose(TINY))
    parts = build(config)
    torch.nn.init.normal_(next(parts.model.parameters()))
    bundle.save(folder, parts.model, {**config, "diffkit": {"version": "0"}}, parts.data.spec)
    return folder


@pytest.fixture
def copy(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "copy"))


def change(folder: Path, **values: Any) -> None:
    write_yaml(folder / "config.yaml", {**read_yaml(folder / "config.yaml"), **values})


def test_round_trip(saved: Path) -> None:
    loaded = bundle.load(saved)
    again = bundle.load(saved)
    for (name, a), b in zip(loaded.model.state_dict().items(), again.model.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    assert isinstance(loaded.spec, DataSpec) and loaded.spec.shape == (2,)
    assert not loaded.model.training and not any(p.requires_grad for p in loaded.model.parameters())
    assert loaded.config["diffkit"]["version"] == "0"


def test_it_says_nothing_of_the_machine(saved: Path) -> None:
    config = read_yaml(saved / "config.yaml")
    assert not {"out", "resume", "trainer", "logger", "callbacks", "optimizer"} & config.keys()
    assert {"data", "denoiser", "sampler", "grid", "guidance", "seed"} <= config.keys()


def test_a_flipped_bit_is_found(copy: Path) -> None:
    weights = copy / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-5] ^= 1
    weights.write_bytes(content)
    with pytest.raises(DiffkitError, match="does not have the digest"):
        bundle.load(copy)


def test_other_parts_than_the_weights_were_made_for(copy: Path) -> None:
    config = read_yaml(copy / "config.yaml")
    change(copy, denoiser={**config["denoiser"], "width": 16})
    with pytest.raises(DiffkitError, match="wrong shape or dtype denoiser"):
        bundle.load(copy)
    change(copy, denoiser={**config["denoiser"], "depth": 2})
    with pytest.raises(DiffkitError, match="missing denoiser"):
        bundle.load(copy)


@pytest.mark.parametrize("node", [{"_part_": "nosuch"}, {"_part_": "mlp", "x": 1}])
def test_a_config_can_name_parts_alone(copy: Path, node: dict[str, Any]) -> None:
    change(copy, denoiser=node)
    with pytest.raises(DiffkitError):
        bundle.load(copy)


@pytest.mark.parametrize("section", [None, 3, {"spec": {"nosuch": 1}}])
def test_a_damaged_section_is_said(copy: Path, section: Any) -> None:
    change(copy, diffkit=section)
    with pytest.raises(DiffkitError, match=r"config\.yaml"):
        bundle.load(copy)
