"""Overrides with mistakes in them, in a command and in one job of a sweep; and configs that must have none."""

import multiprocessing
import re
from collections.abc import Iterator
from contextlib import chdir
from functools import cache
from random import Random
from typing import Any

import pytest
from omegaconf import DictConfig

from diffkit import compose
from diffkit.core.errors import DiffkitError
from trust.command import diffkit, refused
from trust.mutation import mutation
from trust.row import Trial, expect, row

FAULTS = {
    "+task.warmpu=5": "did you mean 'warmup'",
    "optimizer.lrr=1": "did you mean 'lr'",
    "optimizer.lr=fast": "optimizer.lr=fast",
    "optimizer.lr=-1": "above 0",
    "optimizer.lr=nan": "a finite number, above 0",
    "trainer.max_steps=2.5": "a whole number, at least 1",
    "trainer.max_steps=1e30": "a whole number, at least 1",
    "compile=maybe": "true or false",
    "trainer=5": "the name of one choice",
    "optimizer.lr=null": "optimizer.lr=null",
    "~optimizer.lr": "cannot be deleted",
    "denoiser=resnettt": "dit, egnn, mlp",
    "seed=${nope}": "'nope' not found",
    "grid.steps=1 grid.steps=2": "given twice",
    "trainer.max_steps=[1,2]": "a whole number, at least 1",
    "denoiser.multipliers=[1,": "cannot be read",
    "name=${oc.env:HOME}": "nothing of this machine",
    "+unknown.key=1": "no key 'unknown'",
    "++grid.stepz=3": "did you mean 'steps'",
    "sampelr=ddim": "did you mean 'sampler'",
    "sampler=dimm": "did you mean 'ddim'",
    "+sampler=ddim": "without +",
    "callbacks=[savin]": "did you mean 'saving'",
    "callbacks.saving.evry=3": "did you mean 'every'",
    "trainer.max_step=5": "did you mean 'max_steps'",
    "experiment=digit_mlp": "did you mean 'digits_mlp'",
    "guidance.cgf.scale=2": "did you mean 'cfg'",
    "hydra.run.dir=elsewhere": "leave it out",
    "=1": "cannot be read",
    f"denoiser.multipliers=[{'1,' * 20_000}": "cannot be read",
}
"""Overrides, and words of what must be said of them; the first seventeen are those that bare Hydra was tried with."""
TYPOS = 10


@row(
    "O1",
    fault="unknown key, +typo, deleted key, unknown option or part",
    required="exit 2, at most 3 near names, the right one for 90 % of typos; nothing written",
    bare="14/17 accepted (YAML), 6/17 (typed)",
    full=10,
    small=1,
)
def mistakes(trial: Trial) -> None:
    lines = list(FAULTS)[trial.number :: 10]
    with chdir(trial.folder):
        for line in lines:
            said = _refusal(line.split(" "))
            expect(said is not None, f"{line[:80]} is accepted")
            expect(FAULTS[line] in said and len(said) < 1500, f"{line[:80]}: {said:.1500}")
        right = sum(_told(key, typo) for key, typo in _typos(trial.random))
    expect(right >= 0.9 * TYPOS, f"only {right} of {TYPOS} typos are told the right name")
    if trial.number > 0:
        refused(diffkit("train", *lines[-1].split(" "), cwd=trial.folder), FAULTS[lines[-1]])
    expect(not list(trial.folder.iterdir()), "something was written")


def _refusal(overrides: list[str]) -> str | None:
    """What is said of a mistake; None if there is said to be none."""
    try:
        compose(overrides)
    except DiffkitError as error:
        return str(error)
    return None


def _typos(random: Random) -> Iterator[tuple[str, str]]:
    """Keys, and what slips of the fingers make of them: a letter left out, doubled, or two swapped."""
    for _ in range(TYPOS):
        key = random.choice(_keys())
        place, dot, name = key.rpartition(".")
        i = random.randrange(len(name) - 1)
        slips = [name[:i] + name[i + 1 :], name[: i + 1] + name[i:], name[:i] + name[i + 1] + name[i] + name[i + 2 :]]
        yield key, place + dot + random.choice([slip for slip in slips if slip != name])


def _told(key: str, typo: str) -> bool:
    said = _refusal([f"{typo}=1"])
    expect(said is not None, f"{typo}=1 is accepted")
    names = re.findall(r"'(\w+)'", said.partition("did you mean")[2])
    expect(len(names) <= 3, f"{typo}: {said}")
    return key.rpartition(".")[2] in names


@cache
def _keys() -> tuple[str, ...]:
    """Every key of the default config, dotted, whose name is longer than a letter."""

    def below(node: DictConfig, place: str = "") -> Iterator[str]:
        for name, value in node.items():
            if isinstance(value, DictConfig) and len(value):
                yield from below(value, f"{place}{name}.")
            elif not str(name).startswith("_") and len(str(name)) > 1:
                yield f"{place}{name}"

    return tuple(below(compose()))


@mutation("Hydra's own word is taken for it", "O1", said="is accepted")
def unchecked(patch: Any) -> None:
    from diffkit.compose import hydra

    patch.setattr(hydra, "validate", lambda cfg, verb: None)


SWEPT = {
    "grid.steps=3,-1": "grid.steps=-1",
    "sampler=ddim,dimm": "did you mean 'ddim'",
    "denoiser=mlp,set_transformer": "set_transformer",
    "condition_dropout=0.1,2": "condition_dropout=2",
    "data=digits,moons": "conditioner=text",
}


@row(
    "O4",
    fault="a mistake in one job of a sweep",
    required="reported before the first job starts",
    bare="at that job",
    full=5,
    small=1,
)
def mistake_in_a_sweep(trial: Trial) -> None:
    from diffkit.cli import _VERBS
    from diffkit.compose import hydra, sweep

    line = trial.pick(list(SWEPT))
    started: list[Any] = []

    def start(*command: Any) -> Any:
        started.append(command)
        raise DiffkitError("a job was started")

    with chdir(trial.folder), pytest.MonkeyPatch.context() as patch:
        patch.setattr(hydra, "prepare", lambda *modules: multiprocessing.get_context("spawn"))
        patch.setattr(sweep, "start", start)
        try:
            _VERBS["train"](["-m", line, "out=jobs"])
            said = "nothing"
        except DiffkitError as error:
            said = str(error)
    expect(not started, f"{line}: a job was started")
    expect(SWEPT[line] in said, f"{line}: {said}")
    expect(not list(trial.folder.iterdir()), "something was written")


@mutation("jobs are not checked beforehand", "O4", said="a job was started")
def found_at_the_job(patch: Any) -> None:
    from diffkit.compose import hydra

    patch.setattr(hydra, "_checked", lambda cfg, verb, check: None)
