"""Parts that cannot work together, pairs of all of them, and the configs that are shipped and documented."""

import re
import shlex
from dataclasses import fields, make_dataclass
from functools import cache
from itertools import takewhile
from time import process_time
from typing import Any

import pytest
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from pages import PAGES, ROOT, blocks, commands

from diffkit import compose
from diffkit.compose.registry import registry
from diffkit.core.errors import DiffkitError
from diffkit.testing import combinations
from trust.mutation import mutation
from trust.row import Trial, expect, row

MISFITS = {
    "sampler=ddpm sampler.variance=learned": ("reverse variance", "learn_variance=true"),
    "codec=vae": ("codec Vae", "task=autoencoder"),
    "data=moons": ("conditioner=text", "data=moons"),
    "data=swissroll conditioner=[class] denoiser=mlp": ("conditioner", "label"),
    "data=moons denoiser=unet conditioner=[]": ("unet", "data=moons"),
    "trainer.strategy=fsdp trainer.accelerator=cpu": ("fsdp", "GPU"),
    "denoiser=egnn conditioner=[]": ("egnn", "data=digits"),
    "prediction=eps grid=uniform grid.logsnr_min=-20": ("Eps", "Cosine"),
    "grid=logsnr grid.logsnr_max=-15 schedule=linear": ("grid's logsnr_max", "Linear"),
    "condition_dropout=[0.1,0.2]": ("condition_dropout has 2 numbers", "conditioner"),
    "denoiser=dit denoiser.patch=3": ("dit", "patch"),
    "data=moons conditioner=[] denoiser=mlp guidance=[static_threshold]": ("static_threshold", "lowest"),
}
"""Pairs that cannot work, and words for both."""


@row(
    "O3",
    fault="combinations that cannot work",
    required="refused before the data are touched, in 5 s, naming both; every pair of parts trains or is refused",
    bare="not measured",
    full=100,
    small=1,
)
def misfits(trial: Trial) -> None:
    from diffkit.compose.check import refuse_misfits

    line = trial.pick(list(MISFITS))
    cfg, before = compose(line.split(" ")), process_time()
    data = registry().load("data", cfg.data._part_)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("prepare_data", "setup", "reference"):
            patch.setattr(data, name, _touched)
        try:
            refuse_misfits(cfg)
            said = None
        except DiffkitError as error:
            said = str(error)
    seconds = process_time() - before
    expect(said is not None, f"{line} was not refused")
    expect(all(word in said for word in MISFITS[line]), f"{line}: {said}")
    expect(seconds <= 5, f"{line}: refused after {seconds:.1f} s")
    trial.figure("slowest refusal in s of CPU", seconds)
    for pair in _pairs()[trial.number - 1 :: 99] if trial.number else []:  # for the first, tests/test_combinations.py
        _trains_or_is_refused(dict(pair))


def _touched(*arguments: Any) -> None:
    raise AssertionError("the data were read")


@cache
def _kinds() -> dict[str, list[str]]:
    return combinations.choices(*combinations.TRAINING, *combinations.SAMPLING)


@cache
def _pairs() -> list[list[tuple[str, str]]]:
    return sorted(map(sorted, combinations.pairs(_kinds())))


SIMPLE = {
    "codec": "identity", "conditioner": "-", "denoiser": "mlp", "prediction": "v", "schedule": "cosine",
    "density": "uniform", "weighting": "unit", "sampler": "ddim", "grid": "uniform", "guidance": "-",
}  # fmt: skip


def _trains_or_is_refused(pair: dict[str, str]) -> None:
    """With the data that the pair has, or else with some that it is for, if there are any."""
    for data in [pair["data"]] if "data" in pair else ["digits", "moons", "shapes", "plane"]:
        choice = {"data": data, **SIMPLE, **pair}
        try:
            combinations.sample(combinations.train(choice), choice)
            return
        except DiffkitError as error:
            expect(len(str(error)) < 1000 and "\n" not in str(error), f"{pair}: {error}")


@mutation("parts are not held against each other", "O3", said="was not refused")
def unfitted(patch: Any) -> None:
    from diffkit.compose import check

    patch.setattr(check, "skeleton", lambda cfg: None)


@row(
    "O5",
    fault="a config that is shipped or documented",
    required="passes diffkit check",
    bare="not measured",
    full=71,
    small=2,
)
def shipped(trial: Trial) -> None:
    from diffkit.compose.check import refuse_misfits

    overrides = trial.pick(_shipped())
    elsewhere = any(re.match(r"[+]?(resume|[\w.]+\.(run|folder|file|shards|path|dataset))=", o) for o in overrides)
    try:
        cfg = compose(overrides)
        if not elsewhere:  # else it needs what its reader has
            refuse_misfits(cfg)
    except DiffkitError as error:
        expect(False, f"{' '.join(overrides)}: {error}")


@cache
def _shipped() -> list[list[str]]:
    """The overrides of every experiment, as its first line has them, and of every command that a page shows.

    Pages where a reader writes a plugin are left out: their commands are run, in tests/test_docs.py.
    """
    found = []
    for file in sorted(ROOT.glob("**/conf/experiment/*.yaml")):
        words = file.read_text().partition("diffkit train ")[2].split()
        found.append(list(takewhile(lambda word: "=" in word, words)))
    for page in [page for page in PAGES if not re.search(r"diffkit\.hookimpl|\$ diffkit new", page.read_text())]:
        for block in blocks(page):
            shown = [] if block.action == "fails" or block.language != "console" else commands(block.code or "")
            found += [jobs for command, _ in shown for jobs in _overrides(command)]
    return found


def _overrides(command: str) -> list[list[str]]:
    """Those of each run of a command; none if it is no `train` or `check`, or has a flag."""
    words = shlex.split(command, comments=True)
    rest = [word for word in words[2:] if word not in ("-m", "--no-scan")]
    if words[:2] not in (["diffkit", "train"], ["diffkit", "check"]) or any(
        w.startswith(("-", "|", ">")) for w in rest
    ):
        return []
    return [list(job) for job in BasicSweeper.split_arguments(OverridesParser.create().parse_overrides(rest), None)[0]]


@mutation("a key has another name, and the presets do not know", "O5", said="no key 'name'")
def renamed(patch: Any) -> None:
    from diffkit.compose.keys import VERBS

    known = [(f.name, f.type) for f in fields(VERBS["train"]) if f.name != "name"]
    patch.setitem(VERBS, "train", make_dataclass("Train", known))
