"""The registry as Hydra's config source: defaults, overrides, lists, presets, sweeps, and every wrong override."""

import multiprocessing
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import forks
import pytest
import yaml
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from strangers import SAMPLER, Install, entry

from diffkit import compose
from diffkit.compose import hydra, sweep
from diffkit.compose.hydra import run
from diffkit.core.errors import DiffkitError

MINE = entry("sampler=still=still_sampler:Still", "guidance=cfg=still_guidance:Mine")
GUIDANCE = """
from dataclasses import dataclass
from diffkit.core import Guidance

@dataclass(frozen=True)
class Mine(Guidance):
    strength: float = 2.0
    def __call__(self, denoise, branches):
        return denoise
"""


def test_the_defaults_compose_with_every_hyperparameter() -> None:
    cfg = compose()
    assert cfg.data._part_ == "digits" and cfg.data.batch_size > 0 and cfg.grid.steps > 0
    assert list(cfg.conditioner) == ["text"] and cfg.guidance.cfg._part_ == "cfg"
    assert "_target_" not in OmegaConf.to_yaml(OmegaConf.create({k: v for k, v in cfg.items() if k == "sampler"}))


def test_overrides_choose_parts_and_set_their_keys() -> None:
    cfg = compose(["sampler=heun", "grid=karras", "grid.steps=5", "grid.rho=3", "seed=7", "data=moons"])
    assert (cfg.sampler._part_, cfg.grid.steps, cfg.grid.rho, cfg.seed) == ("heun", 5, 3.0, 7)
    assert isinstance(cfg.grid.rho, float) and "eta" not in cfg.sampler


def test_lists_put_each_choice_below_its_name_in_order() -> None:
    cfg = compose(["conditioner=[text,class]", "conditioner.class.width=9", "guidance=[]"])
    assert list(cfg.conditioner) == ["text", "class"] and cfg.conditioner["class"].width == 9
    assert len(cfg.guidance) == 0
    assert list(compose(["conditioner=class"]).conditioner) == ["class"]


def test_a_strangers_parts_compose_by_short_and_qualified_names(install: Install) -> None:
    install("mine", MINE, still_sampler=SAMPLER, still_guidance=GUIDANCE)
    cfg = compose(["sampler=still", "sampler.pace=2", "guidance=[mine/cfg]", "guidance.cfg.strength=3"])
    assert cfg.sampler == {"_part_": "still", "pace": 2.0}
    assert cfg.guidance.cfg == {"_part_": "mine/cfg", "strength": 3.0}
    assert compose(["sampler=mine/still"]).sampler._part_ == "mine/still"


def test_an_ambiguous_name_is_refused(install: Install) -> None:
    install("one", MINE, still_sampler=SAMPLER, still_guidance=GUIDANCE)
    install("two", MINE)
    with pytest.raises(DiffkitError, match=r"claimed by one 1\.2 .*two 1\.2"):
        compose(["sampler=still"])
    assert compose(["sampler=two/still"]).sampler._part_ == "two/still"


def test_a_plugin_brings_presets(install: Install) -> None:
    hook = "\n@diffkit.hookimpl\ndef diffkit_configs():\n    return ['mine_conf']\n"
    site = install("mine", MINE + hook, still_sampler=SAMPLER)
    folder = site / "mine_conf"
    (folder / "experiment").mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "experiment" / "calm.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /sampler: still\nsampler: {pace: 4}\nseed: 3\n"
    )
    cfg = compose(["experiment=calm"])
    assert (cfg.sampler._part_, cfg.sampler.pace, cfg.seed) == ("still", 4.0, 3)
    assert compose(["experiment=calm", "seed=5"]).seed == 5  # the command line is stronger


def test_only_the_chosen_modules_are_imported() -> None:
    code = (
        "import sys; sys.modules['wandb'] = None  # cannot be imported\n"
        "from diffkit import compose; compose(['sampler=heun', 'denoiser=mlp', 'logger=[csv]']); "
        "names = {'samplers.heun', 'samplers.ddim', 'denoisers.mlp', 'denoisers.unet', 'data.moons'}; "
        "print(sorted(n for n in names if f'diffkit.standard.{n}' in sys.modules))"
    )
    done = forks.run(["-c", code])
    assert done.stdout.strip() == "['denoisers.mlp', 'samplers.heun']", done.stderr


REFUSED = {
    "sampler=ddimm": "no sampler 'ddimm': did you mean 'ddim'",
    "sampler=other/ddim": "'standard/ddim'",
    "smpler=ddim": "no key 'smpler': did you mean 'sampler'",
    "sampler=ddim sampler.etaa=1": "no key 'etaa' in sampler: did you mean 'eta'",
    "sampler=ddim +sampler.etaa=1": "no such key; did you mean 'eta'",
    "seedd=1": "no key 'seedd': did you mean 'seed'",
    "+seedd=1": "no key 'seedd': did you mean 'seed'",
    "guidance.cgf.scale=1": "no key 'cgf' in guidance: did you mean 'cfg'",
    "trainer.detect_anomaly=true": r"add it with \+trainer.detect_anomaly",
    "+trainer.detect_anomally=true": "did you mean 'detect_anomaly'",
    "experiment=nope": "'?nope'?",
    "grid.steps=abc": "grid.steps=abc is not allowed: grid.steps must be a whole number, at least 1",
    "grid.steps=0": "at least 1",
    "guidance.cfg.scale=nan": "guidance.cfg.scale must be a finite number",
    "denoiser.multipliers=[1,a]": "a list, each of which is",
    "seed=null": "seed=null is not allowed",
    "compile=maybe": "compile must be true or false",
    "tags=a": "tags must be a list",
    "condition_dropout=[0.1,nan]": "condition_dropout must be",
    "trainer.max_steps=1e3": "trainer.max_steps must be a whole number",
    "trainer=5": "trainer is the name of one choice",
    "sampler=[ddim,heun]": "sampler is the name of one choice",
    "guidance=null": "guidance is a list",
    "~grid": "grid is missing",
    "~grid.steps": "grid.steps cannot be deleted",
    "seed=[1,": "cannot be read",
    "seed=${nope}": "seed: Interpolation key 'nope' not found",
    "sampler=ddim,heun": "--multirun",
    "seed=1 seed=2": "seed is given twice",
    "+conditioner.class.width=3": r"conditioner\.class has values, but is not chosen: add class to conditioner=",
    "trainer._target_=os.system": "_target_=os.system is not allowed",
    "+sampler._target_=os.system": "_target_=os.system is not allowed",
    "+data.x.y._target_=os.system": "_target_=os.system is not allowed",
}


@pytest.mark.parametrize("line", REFUSED)
def test_a_wrong_override_is_refused_in_one_sentence(line: str) -> None:
    with pytest.raises(DiffkitError, match=REFUSED[line]) as caught:
        compose(line.split(" "))
    assert "\n" not in str(caught.value) and caught.value.status == 2


def saved_run(folder: Path, **changes: Any) -> str:
    choices = {
        "data": {"_part_": "moons", "rows": 99},
        "sampler": {"_part_": "heun"},
        "grid": {"_part_": "karras", "steps": 9, "rho": 5.0},
        "guidance": {"cfg": {"_part_": "cfg", "scale": 4.0}},
    }
    folder.mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump(choices | changes))
    return f"run={folder}"


def test_sampling_takes_the_runs_own_choices(tmp_path: Path) -> None:
    where = saved_run(tmp_path / "run")
    cfg = compose([where, "grid.steps=3"], "sample")
    assert cfg.sampler._part_ == "heun" and cfg.guidance.cfg.scale == 4.0
    assert (cfg.grid._part_, cfg.grid.steps, cfg.grid.rho) == ("karras", 3, 5.0)
    other = compose([where, "sampler=ddim", "guidance=[]", "prompt=[a seven,7]", "label=3"], "sample")
    assert other.sampler._part_ == "ddim" and len(other.guidance) == 0 and other.prompt == ["a seven", "7"]
    judged = compose([where, "data.held_out=7"], "evaluate")
    assert set(judged.metric) >= {"frechet"} and (judged.data.rows, judged.data.held_out) == (99, 7)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"grid": {"_part_": "uniform", "stepz": 3}}, "no key 'stepz'"),
        ({"guidance": {"cfg": 3}}, "names no guidance"),
        ({"grid": {"_part_": "uniform", "steps": -3}}, "grid.steps must be"),
    ],
)
def test_what_a_saved_run_says_is_data(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(DiffkitError, match=words):
        compose([saved_run(tmp_path / "run", **changes)], "sample")


def test_sampling_needs_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for overrides, words in (([], "run must be given"), (["run=last"], "no run here"), (["n=0"], "run must|n=0")):
        with pytest.raises(DiffkitError, match=words):
            compose(overrides, "sample")


class Tasks:
    """A task that keeps what it was run with, and fails for heun."""

    def __init__(self) -> None:
        self.seen: list[tuple[DictConfig, list[str], list[str]]] = []

    def __call__(self, cfg: DictConfig, overrides: list[str]) -> None:
        assert not HydraConfig.initialized()
        self.seen.append((cfg, overrides, list(sys.argv)))
        if cfg.sampler._part_ == "heun":
            raise ValueError("boom")


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tasks:
    monkeypatch.chdir(tmp_path)
    return Tasks()


def start(task: Tasks, monkeypatch: pytest.MonkeyPatch, *argv: str) -> int:
    monkeypatch.setattr(sys, "argv", ["diffkit", "train", *argv])
    return run("train", task, argv)


def test_one_job_sees_its_own_command_and_leaves_no_files(task: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
    assert start(task, monkeypatch, "seed=3", "sampler=ddpm") == 0
    (cfg, overrides, argv), *rest = task.seen
    assert not rest and cfg.seed == 3 and cfg.out is None and overrides == ["seed=3", "sampler=ddpm"]
    assert argv == sys.argv and list(Path.cwd().iterdir()) == []


def test_what_a_single_job_raises_comes_out(task: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="boom"):
        start(task, monkeypatch, "sampler=heun")


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What the jobs of a sweep are started with, in place of starting them; those for heun fail."""
    found = []

    def start(context: object, command: list[str], environment: object) -> SimpleNamespace:
        found.append(command)
        return SimpleNamespace(join=lambda: None, exitcode=3 * ("sampler=heun" in command))

    monkeypatch.setattr(sweep, "start", start)
    monkeypatch.setattr(hydra, "prepare", lambda module: multiprocessing.get_context("spawn"))
    return found


def test_a_sweep_runs_every_job_in_a_folder_and_with_a_command_of_its_own(
    task: Tasks, commands: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert start(task, monkeypatch, "-m", "sampler=ddim,heun,ddpm", "seed=4") == 3
    (folder,) = Path("runs").iterdir()
    assert [command[:4] for command in commands] == [
        ["diffkit", "train", f"sampler={name}", "seed=4"] for name in ("ddim", "heun", "ddpm")
    ]
    assert commands[2][4:] == [f"out={folder}/2", f"group={folder.name}"] and task.seen == []
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == [f"[1/3] {folder}/0 (sampler=ddim)", f"[2/3] {folder}/1 (sampler=heun)"]
    assert lines[3:] == [
        f"finished: {folder}/0 (sampler=ddim)",
        f"failed with status 3: {folder}/1 (sampler=heun)",
        f"finished: {folder}/2 (sampler=ddpm)",
        f"2 of 3 jobs done in {folder}",
        f"The others run, or go on, with: diffkit train -m sampler=ddim,heun,ddpm seed=4 out={folder} resume=auto",
    ]


def test_a_sweep_goes_where_it_is_told(task: Tasks, commands: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    assert start(task, monkeypatch, "--multirun", "out=here", "seed=1,2") == 0
    assert [command[2:] for command in commands] == [[f"seed={i + 1}", f"out=here/{i}", "group=here"] for i in range(2)]


def test_jobs_are_chosen_before_and_run_here(task: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
    for choice in ("hydra/sweeper=optuna", "hydra/launcher=joblib"):
        with pytest.raises(DiffkitError, match=f"{choice}: diffkit .* runs jobs one after the other itself"):
            start(task, monkeypatch, "-m", choice, "seed=1,2")


def test_a_mistake_in_one_job_stops_the_sweep_before_its_first(task: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DiffkitError, match=r"In the job 'grid.steps=-1': grid\.steps=-1 is not allowed"):
        start(task, monkeypatch, "-m", "grid.steps=3,-1")
    assert task.seen == [] and list(Path.cwd().iterdir()) == []


def test_presets_of_ones_own(task: Tasks, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "my conf" / "experiment"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text("# @package _global_\ndefaults:\n  - override /grid: karras\nseed: 9\n")
    start(task, monkeypatch, "experiment=mine", "--config-dir", str(folder.parent), "grid.steps=2")
    assert (task.seen[0][0].grid._part_, task.seen[0][0].grid.steps, task.seen[0][0].seed) == ("karras", 2, 9)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--experimental-rerun", "x.pickle"], "runs code from a file"),
        (["--config-dir", "nowhere"], "not found"),
        (["sampler=ddimm"], "did you mean 'ddim'"),
        (["grid.steps=-1"], "at least 1"),
    ],
)
def test_wrong_commands_are_refused(task: Tasks, monkeypatch: pytest.MonkeyPatch, argv: list[str], words: str) -> None:
    with pytest.raises(DiffkitError, match=words):
        start(task, monkeypatch, *argv)
    assert task.seen == [] and list(Path.cwd().iterdir()) == []


def test_cfg_shows_the_config(task: Tasks, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    start(task, monkeypatch, "--cfg", "job", "grid=karras", "--package", "grid")
    assert yaml.safe_load(capsys.readouterr().out)["_part_"] == "karras" and task.seen == []
