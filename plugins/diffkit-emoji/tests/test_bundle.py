"""The model that comes with the package: whole, small, silent on where it was made, and led by words."""

import re
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf

import diffkit
import diffkit_emoji
from diffkit_emoji.data import LICENCE, Emoji

FOLDER = Path(diffkit_emoji.__file__).parent / "bundles" / "emoji"


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    return dict(yaml.safe_load((FOLDER / "config.yaml").read_text(encoding="utf-8")))


def words(node: Any) -> Iterator[str]:
    """Every text in a config."""
    if isinstance(node, str):
        yield node
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from words(inner)


def test_it_is_whole_and_small(config: dict[str, Any]) -> None:
    weights = (FOLDER / "model.safetensors").read_bytes()
    assert sha256(weights).hexdigest() == config["diffkit"]["sha256"]
    assert len(weights) < 10_000_000


def test_it_says_nothing_of_a_machine_and_carries_the_licence(config: dict[str, Any]) -> None:
    assert not [text for text in words(config) if re.match(r"~|/|[A-Za-z]:\\", text)]
    assert not {"platform", "out", "trainer"} & {*config, *config["diffkit"]}
    assert config["diffkit"]["spec"]["licence"] == LICENCE


def test_its_data_are_the_plugins() -> None:
    """Shape, unit and standardisation: else `load_model` refuses."""
    diffkit.load_model("emoji", Emoji(resolution=32).spec)


def test_red_is_redder_than_green() -> None:
    """From the same noise, in few steps: red less green in the mean over the pictures that are asked for."""
    emoji = diffkit.load("emoji")
    colours = {}
    for colour in ("red", "green"):
        red, green, _ = emoji.sample(n=4, text=f"{colour} apple", steps=6).x.mean((0, 2, 3))
        colours[colour] = (red - green).item()
    assert colours["red"] > colours["green"] + 20


def test_the_preset_is_the_one_that_made_it(config: dict[str, Any]) -> None:
    preset: Any = OmegaConf.to_container(diffkit.compose(["experiment=emoji_text"]))
    kinds = ("conditioner", "denoiser", "prediction", "schedule", "density", "weighting", "sampler", "grid", "guidance")
    assert {kind: preset[kind] for kind in kinds} == {kind: config[kind] for kind in kinds}
