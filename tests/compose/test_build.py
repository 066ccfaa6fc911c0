"""From nodes to objects: what each part is given, and errors that say which part it was."""

from typing import Any

import pytest
import torch
from strangers import Install, entry

from diffkit import compose, create
from diffkit.compose.build import build, build_model, part
from diffkit.core.condition import ConditionSpec
from diffkit.core.data import DataSpec
from diffkit.core.errors import DiffkitError
from diffkit.standard.samplers.ddim import Ddim

TINY = ["denoiser=mlp", "denoiser.width=8", "denoiser.embedding=8", "conditioner=[class]", "data=moons", "metric=[]"]


def test_create_builds_by_name() -> None:
    assert create("sampler", "ddim", eta=0.5) == Ddim(eta=0.5)
    assert create("sampler", "standard/ddim") == Ddim()


def test_create_gives_what_the_constructor_asks_for_by_name() -> None:
    network = create("denoiser", "mlp", shape=(2,), condition=ConditionSpec(), width=8)
    assert network(torch.zeros(3, 2), torch.zeros(3), create_condition()).shape == (3, 2)


def create_condition() -> Any:
    from diffkit.core.condition import Condition

    return Condition()


@pytest.mark.parametrize(
    ("kind", "name", "values", "words"),
    [
        ("sampler", "ddim", {"etaa": 1}, ["sampler.etaa", "'eta'"]),
        ("sampler", "ddim", {"eta": -1}, ["sampler.eta=-1", "at least 0"]),
        ("guidance", "cfg", {"scale": "x"}, ["guidance.cfg.scale=x", "a finite number"]),
        ("denoiser", "mlp", {}, ["denoiser 'mlp' of diffkit", "shape, condition"]),
        ("conditioner", "class", {}, ["conditioner 'class' of diffkit", "offer no labels"]),
    ],
)
def test_what_does_not_fit_is_refused_by_key(kind: str, name: str, values: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(DiffkitError) as caught:
        create(kind, name, **values)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_node_without_a_name_is_refused() -> None:
    with pytest.raises(DiffkitError, match=r"sampler names no part.*ddim"):
        part("sampler", {"eta": 0.0})


BAD = """
from dataclasses import dataclass
from diffkit.core import Grid

@dataclass(frozen=True)
class Bad(Grid):
    steps: int
    def __post_init__(self):
        raise RuntimeError("no\\n way")
    def __call__(self, schedule): ...
"""


def test_a_constructor_that_raises_is_named_with_its_plugin_and_cause(install: Install) -> None:
    install("mine", entry("grid=bad=bad_grid:Bad"), bad_grid=BAD)
    with pytest.raises(DiffkitError, match=r"grid 'bad' of mine 1\.2 could not be built: RuntimeError: no way"):
        create("grid", "bad", steps=2)
    with pytest.raises(DiffkitError, match=r"grid\.steps must be given"):
        create("grid", "bad")


def test_build_wires_one_schedule_through_everything() -> None:
    parts = build(compose(TINY))
    assert parts.task.model is parts.model
    assert parts.model.conditioners.keys == ["label"]
    assert parts.task.shape == parts.data.spec.shape == (2,)
    assert parts.task.density is parts.density and parts.metrics == {} and len(parts.guidance) == 1


def test_a_model_is_the_same_for_the_same_generator_state() -> None:
    cfg, spec = compose(TINY), DataSpec((2,), {"label": 2})
    torch.manual_seed(3)
    one = build_model(cfg, spec).state_dict()
    torch.manual_seed(3)
    assert all(
        torch.equal(a, b) for a, b in zip(one.values(), build_model(cfg, spec).state_dict().values(), strict=True)
    )


def test_a_conditioner_that_the_data_cannot_serve_is_refused() -> None:
    with pytest.raises(DiffkitError, match=r"conditioner=text needs the column 'text', but data=\w+ offers 'label'"):
        build(compose([*TINY[:3], "conditioner=[text]", "data=moons"]))
