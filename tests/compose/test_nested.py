"""Parts within parts: chosen, set, saved, built and refused like any other, at any depth."""

from pathlib import Path
from typing import Any

import pytest
import small
import yaml
from omegaconf import OmegaConf
from strangers import Install, entry

from diffkit import compose, create
from diffkit.compose.build import build_sampling, part
from diffkit.compose.check import skeleton
from diffkit.compose.report import report
from diffkit.core.data import DataSpec
from diffkit.core.errors import DiffkitError
from diffkit.run import bundle
from diffkit.standard.codecs.identity import Identity
from diffkit.standard.samplers.ddim import Ddim
from diffkit.standard.samplers.heun import Heun
from diffkit.standard.schedules import Cosine, Flow, Linear, Shifted, ZeroSnr

PARTS = """
from dataclasses import dataclass, field
from diffkit.core import Grid, Guidance, Sampler
from diffkit.standard.samplers.ddim import Ddim

@dataclass(frozen=True)
class Twice(Sampler):
    '''Runs another one.'''
    base: Sampler = Ddim()
    order = 1
    def steps(self, denoise, schedule, x, times, noise):
        return self.base.steps(denoise, schedule, x, times, noise)

@dataclass(frozen=True)
class Needs(Grid):
    '''Needs another one.'''
    base: Grid
    steps: int = 3
    def __call__(self, schedule):
        return self.base(schedule)

@dataclass(frozen=True)
class Where(Guidance):
    '''Guides a sampler's steps.'''
    base: Sampler = Ddim()
    def __call__(self, denoise, branches):
        return denoise

@dataclass(frozen=True)
class Odd(Sampler):
    '''Has a default that no config can name.'''
    base: Sampler = Ddim(0.5)
    order = 1
    def steps(self, denoise, schedule, x, times, noise):
        yield from ()
"""
MINE = entry("sampler=twice=nested_parts:Twice", "grid=needs=nested_parts:Needs", "guidance=where=nested_parts:Where",
             "sampler=odd=nested_parts:Odd")  # fmt: skip


@pytest.fixture
def mine(install: Install) -> None:
    install("mine", MINE, nested_parts=PARTS)


def schedule_of(*overrides: str) -> Any:
    return OmegaConf.to_container(compose(["schedule=shifted", *overrides]).schedule)


def test_the_default_comes_from_the_signature_with_all_its_keys() -> None:
    assert schedule_of()["base"] == {"_part_": "cosine", "offset": 0.008}
    assert part("schedule", schedule_of()) == Shifted(Cosine())


def test_a_part_within_is_chosen_by_its_package_and_has_keys_of_its_own() -> None:
    made = schedule_of("schedule@schedule.base=linear", "schedule.base.steps=10", "schedule.logsnr_shift=-2")
    assert made["base"] == {"_part_": "linear", "beta_min": 1e-4, "beta_max": 0.02, "steps": 10}
    assert part("schedule", made) == Shifted(Linear(steps=10), -2.0)


def test_parts_within_parts_within_parts() -> None:
    choices = ["schedule@schedule.base=zero_snr", "schedule@schedule.base.base=flow"]
    made = schedule_of(*choices, "schedule.base.base.shift=3")
    assert part("schedule", made) == Shifted(ZeroSnr(Flow(3.0)))


def test_a_preset_chooses_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from diffkit.compose.hydra import run

    (tmp_path / "experiment").mkdir()
    choices = "[{override /schedule: shifted}, {override /schedule@schedule.base: linear}]"
    (tmp_path / "experiment" / "mine.yaml").write_text(
        f"# @package _global_\ndefaults: {choices}\nschedule: {{base: {{steps: 7}}}}\n"
    )
    seen = []
    run("train", lambda cfg, _: seen.append(cfg.schedule.base), ["experiment=mine", "--config-dir", str(tmp_path)])
    assert seen[0]._part_ == "linear" and seen[0].steps == 7


def test_from_python_by_name_by_node_and_as_an_object() -> None:
    assert create("schedule", "shifted", base="linear") == Shifted(Linear())
    assert create("schedule", "shifted", base={"_part_": "linear", "steps": 5}) == Shifted(Linear(steps=5))
    assert create("schedule", "shifted", base=Flow()) == Shifted(Flow())
    assert create("schedule", "zero_snr", base=create("schedule", "shifted", base="flow")) == ZeroSnr(Shifted(Flow()))


REFUSED = {
    "schedule@schedule.base=lineer": "no schedule 'lineer': did you mean 'linear'",
    "schedule@schedule.bas=linear": "takes no schedule there; did you mean 'schedule@schedule.base'",
    "grid@schedule.base=karras": "grid@schedule.base chooses nothing",
    "schedule@schedule.base=[linear]": "is the name of one choice",
    "~schedule@schedule.base": r"schedule.base must be given: .*choose it with schedule@schedule.base=NAME \(linear, ",
    "schedule.base=3": "schedule.base must be a schedule; choose it with schedule@schedule.base=NAME",
    "schedule.base=lineer": "did you mean 'linear'",
    "schedule.base.offset=-1": "schedule.base.offset must be a finite number, at least 0",
    "schedule.base.offset=x": "schedule.base.offset=x is not allowed: schedule.base.offset must be a finite number",
    "schedule.base.ofset=1": "no key 'ofset' in schedule.base: did you mean 'offset'",
    "+schedule.base.ofset=1": "schedule.base.ofset: .*did you mean 'offset'",
    "+schedule.base._target_=os.system": "_target_=os.system is not allowed",
}


@pytest.mark.parametrize("line", REFUSED)
def test_what_does_not_fit_is_refused_by_its_whole_key(line: str) -> None:
    with pytest.raises(DiffkitError, match=REFUSED[line]) as caught:
        compose(["schedule=shifted", line])
    assert "\n" not in str(caught.value)


def test_a_choice_within_a_part_that_has_none_is_refused() -> None:
    with pytest.raises(DiffkitError, match=r"what is chosen for schedule takes no schedule there\.$"):
        compose(["schedule=cosine", "schedule@schedule.base=linear"])


@pytest.mark.parametrize("value", [3, None, {"steps": 1}, {"_part_": 3}, Ddim()], ids=str)
def test_from_python_what_is_no_part_is_refused(value: Any) -> None:
    with pytest.raises(DiffkitError, match=r"schedule\.base|schedule names no part"):
        create("schedule", "shifted", base=value)


def test_values_of_another_kind_are_explained_by_their_own_part(mine: None) -> None:
    """The kind of `guidance.where.base` is not the first word of its key."""
    with pytest.raises(DiffkitError, match=r"guidance\.where\.base\.eta must be a finite number, at least 0"):
        compose(["guidance=[where]", "guidance.where.base.eta=x"])
    with pytest.raises(DiffkitError, match=r"no key 'etaa' in guidance\.where\.base: did you mean 'eta'"):
        compose(["guidance=[where]", "guidance.where.base.etaa=1"])


def test_within_a_part_of_a_list(mine: None) -> None:
    cfg = compose(["guidance=[cfg,where]", "sampler@guidance.where.base=heun"])
    assert cfg.guidance.where._part_ == "where" and cfg.guidance.where.base._part_ == "heun"
    assert build_sampling(cfg, DataSpec((2,)), Identity())[2][1].base == Heun()


def test_a_part_that_must_be_chosen(mine: None) -> None:
    with pytest.raises(DiffkitError, match=r"^grid\.base must be given: choose it with grid@grid\.base=NAME \(."):
        compose(["grid=needs"])
    with pytest.raises(DiffkitError, match=r"^grid\.base must be given: the grid 'needs' of mine 1\.2 has no default"):
        create("grid", "needs")
    cfg = compose(["grid=needs", "grid@grid.base=karras", "grid.base.steps=9"])
    assert part("grid", cfg.grid).base == create("grid", "karras", steps=9)


def test_a_default_that_a_config_cannot_name_is_refused(mine: None) -> None:
    with pytest.raises(DiffkitError, match=r"'odd' of mine 1\.2: the default of base, Ddim\(eta=0\.5\), cannot be"):
        compose(["sampler=odd"])


def saved(folder: Path, sampler: Any) -> str:
    folder.mkdir()
    choices = {"sampler": sampler, "grid": {"_part_": "uniform"}, "guidance": {"where": {"_part_": "where"}}}
    (folder / "config.yaml").write_text(yaml.safe_dump(choices))
    return f"run={folder}"


def test_a_saved_runs_own_choice_comes_back_whole_and_can_be_changed(mine: None, tmp_path: Path) -> None:
    run = saved(tmp_path / "run", {"_part_": "twice", "base": {"_part_": "ddim", "eta": 0.25}})
    assert compose([run], "sample").sampler == {"_part_": "twice", "base": {"_part_": "ddim", "eta": 0.25}}
    assert compose([run, "sampler.base.eta=0.75"], "sample").sampler.base.eta == 0.75
    assert compose([run], "sample").guidance.where.base == {"_part_": "ddim", "eta": 0.0}
    cfg = compose([run, "sampler=twice", "sampler@sampler.base=heun"], "sample")
    assert build_sampling(cfg, DataSpec((2,)), Identity())[0].base == Heun()


@pytest.mark.parametrize(
    ("base", "words"),
    [
        ({"_part_": "ddim", "_target_": "os.system"}, r"sampler\.base\._target_=os\.system is not allowed"),
        ({"_part_": "${oc.env:HOME}"}, "plain values only"),
        ({"_part_": "nosuch"}, "no sampler"),
        ({"_part_": "ddim", "eta": 7}, r"sampler\.base\.eta must be"),
        (7, "damaged at 'base'"),
    ],
)
def test_what_a_saved_run_says_is_data_there_too(mine: None, tmp_path: Path, base: Any, words: str) -> None:
    with pytest.raises(DiffkitError, match=words):
        compose([saved(tmp_path / "run", {"_part_": "twice", "base": base})], "sample")


def test_a_bundle_keeps_it(tmp_path: Path) -> None:
    base = {"_part_": "zero_snr", "base": {"_part_": "linear", "steps": 50}}
    config = small.choices("none", "moons") | {"schedule": {"_part_": "shifted", "logsnr_shift": 1.0, "base": base}}
    bundle.save(tmp_path, small.model(config), config, part("data", config["data"], seed=0).spec)
    assert bundle.load(tmp_path).model.schedule == Shifted(ZeroSnr(Linear(steps=50)), 1.0)


def test_check_shows_it() -> None:
    small = ["denoiser=mlp", "data=moons", "conditioner=[]", "guidance=[]"]
    cfg = compose([*small, "schedule=shifted", "schedule@schedule.base=zero_snr"])
    text = report(cfg, skeleton(cfg))
    assert "logsnr_shift=-1.386, base=zero_snr, base.base=linear, base.base.beta_min=0.0001" in text
