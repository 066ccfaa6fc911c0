"""Mistakes that an outsider made with the documentation alone."""

from pathlib import Path

import pytest
from strangers import Install

import diffkit
from diffkit.compose.check import skeleton
from diffkit.compose.plugins import load_plugins
from diffkit.core.condition import ConditionSpec
from diffkit.core.errors import DiffkitError
from diffkit.testing import given

PARTS = """
import torch
import diffkit
from diffkit.core import Condition, ConditionSpec, Conditioner, DenoiserNetwork, Schedule

class Bare(DenoiserNetwork):
    "A constructor without annotations."
    def __init__(self, shape, condition, width=8):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(width)[:1])
    def forward(self, x, logsnr, condition):
        return x * self.scale

class One(Schedule):
    "Gives one tensor."
    def __call__(self, t):
        return t

class Keyless(Conditioner):
    "Says not what it reads."
    spec = ConditionSpec(vector=2)
    def forward(self, batch):
        return Condition()

@diffkit.hookimpl
def diffkit_components():
    return [diffkit.Component("denoiser", "bare", Bare), diffkit.Component("schedule", "one", One),
            diffkit.Component("conditioner", "keyless", Keyless)]
"""


@pytest.fixture
def used(install: Install, tmp_path: Path) -> None:
    file = tmp_path / "parts.py"
    file.write_text(PARTS)
    diffkit.use(file)


@pytest.mark.usefixtures("used")
def test_a_parameter_without_annotation_takes_any_value() -> None:
    cfg = diffkit.compose(["denoiser=bare", "denoiser.width=4", "conditioner=[]"])
    assert skeleton(cfg).latents == (1, 8, 8)


@pytest.mark.usefixtures("used")
@pytest.mark.parametrize(
    ("override", "sentence"),
    [("schedule=one", "The schedule 'one' of .* could not be built"), ("conditioner=[keyless]", "it lacks key")],
)
def test_what_is_wrong_with_a_part_is_said_with_its_name(override: str, sentence: str) -> None:
    with pytest.raises(DiffkitError, match=sentence):
        skeleton(diffkit.compose([override]))


@pytest.mark.usefixtures("used")
def test_a_broken_schedule_leaves_the_proofs_of_others_alone() -> None:
    given.schedules.cache_clear()
    try:
        names = {type(schedule).__name__ for schedule in given.schedules()}
    finally:
        given.schedules.cache_clear()
    assert "One" not in names and len(names) > 10


def test_a_function_that_looks_like_a_hook_and_is_none_is_refused(install: Install) -> None:
    install("mistyped", "def diffkit_component():\n    return []\n")
    with pytest.warns(UserWarning, match=r"mistyped 1\.2 .*'diffkit_component' looks like a hook.*diffkit_components"):
        load_plugins()


@pytest.mark.usefixtures("install")
def test_a_file_that_the_user_names_may_take_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """It may be the first that needs torch; an installed plugin is held to the limit."""
    monkeypatch.setenv("DIFFKIT_PLUGIN_SECONDS", "0.2")
    file = tmp_path / "slow.py"
    file.write_text("import time\ntime.sleep(0.6)\n" + PARTS)
    diffkit.use(file)
    assert diffkit.create("denoiser", "bare", shape=(2,), condition=ConditionSpec())
    assert "slow" not in capfd.readouterr().err
