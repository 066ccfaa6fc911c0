"""Plugins that do not load, do not fit, or claim what is another's."""

import os
import subprocess
import sys
import warnings
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from subprocess import CompletedProcess
from typing import Any

import pluggy
import pytest
from strangers import entry, found, write

from diffkit.compose import check, plugins as loading, registry as parts
from diffkit.compose.bundles import shipped
from diffkit.compose.check import skeleton
from diffkit.compose.commands import call
from diffkit.compose.hydra import compose
from diffkit.compose.registry import Registry, registry
from diffkit.core.errors import DiffkitError
from diffkit.standard import plugin as standard
from trust.command import diffkit, refused, tiny
from trust.mutation import mutation
from trust.plugin_faults import BROKEN, UNFIT, bad, good, unfit
from trust.row import Fault, Trial, expect, row

TESTS = str(Path(__file__).parents[1])


def command(*arguments: str, sites: Sequence[Path], inject: Sequence[str] = (), **env: str) -> CompletedProcess[str]:
    """The diffkit command where the plugins of these folders are installed."""
    path = os.pathsep.join([*map(str, sites), TESTS])
    return diffkit(*arguments, cwd=sites[0].parent, env={"PYTHONPATH": path, **env}, inject=inject)


def said(call: Any, *arguments: Any) -> str:
    """What a call is refused with; raises `Fault` if it is not, or without a sentence."""
    try:
        call(*arguments)
    except DiffkitError as error:
        return str(error)
    except Exception as error:
        raise Fault(f"{arguments} ended in {type(error).__name__}: {error}") from error
    raise Fault(f"nothing was refused of {arguments}")


@row(
    "P1",
    fault="a plugin that cannot be imported, exits, raises when asked what it offers, or names nothing",
    required="the run goes on, with a line of distribution, version and cause; asked for, exit 2 in 5 s",
    bare="the good plugin beside it usable 4/12, the bad one named 0/12",
    full=len(BROKEN) + 1,
    small=1,
)
def broken(trial: Trial) -> None:
    """All of them at once in the first trial, each by itself in the others, where the refusal is a real process's."""
    site = good(trial.folder / "site")
    names = list(BROKEN) if trial.number == 0 else [list(BROKEN)[trial.number - 1]]
    faults = [bad(site, name) for name in names]
    done = command("train", *tiny("sampler=good", "trainer.max_steps=1"), sites=[site])
    expect(done.returncode == 0, f"status {done.returncode}: {done.stderr[-1500:]}")
    for who, cause in faults:
        lines = [line for line in done.stderr.splitlines() if who in line]
        expect(len(lines) == 1 and cause in lines[0], f"of {who} is said: {lines}")
    for override in (f"sampler={names[0]}/wanted", "sampler=wanted"):
        done = command("train", override, sites=[site]) if trial.number == 0 else _really(trial, override, site)
        refused(done, "'" + override.partition("=")[2] + "'", faults[0][1])
        refused(done, *([who for who, _ in faults] if override == "sampler=wanted" else [faults[0][0]]))


def _really(trial: Trial, override: str, site: Path) -> CompletedProcess[str]:
    before = getrusage(RUSAGE_CHILDREN)
    argv = [sys.executable, "-m", "diffkit.cli", "train", override]
    environment = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(argv, capture_output=True, text=True, cwd=site.parent, env=environment)
    after = getrusage(RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    trial.figure("slowest refusal in s", seconds)
    expect(seconds <= 5, f"refused after {seconds:.1f} s")
    return done


@mutation("entry points are loaded by pluggy, unguarded", "P1", said="status 3")
def unguarded(patch):  # type: ignore[no-untyped-def]
    def load():  # type: ignore[no-untyped-def]
        return pluggy.PluginManager("diffkit").load_setuptools_entrypoints("diffkit")

    patch.setattr(parts, "load_plugins", load)


CLAIMS = (
    entry("sampler=shared=m:P")
    + """

@diffkit.hookimpl
def diffkit_commands():
    return [diffkit.Command("measure", "m:f")]


@diffkit.hookimpl
def diffkit_bundles():
    return [diffkit.NamedBundle("faces", "m:faces")]
"""
)


@row(
    "P2",
    fault="two plugins claim one name: of a part, of a command, of a shipped model, or that of their entry point",
    required="exit 2 with both distributions and the name to write instead, in whatever order they are installed",
    bare="one wins silently",
    full=4,
    small=1,
)
def claimed(trial: Trial) -> None:
    """Installed in one folder and in two, either first; the command is tried in an order of the trial's own."""
    heard = []
    for order, written in enumerate(product(("ab", "ba"), ("aa", "ab"))):
        sites = _claims(trial.folder / str(order), *written)
        heard.append(_heard(sites))
        if order == trial.number:
            refused(command("check", "sampler=shared", sites=sites), "one 1.2", "two 1.2", "sampler=two/shared")
    for what in zip(*heard, strict=True):
        expect(len(set(what)) == 1, f"it depends on the order: {set(what)}")
        expect("one 1.2 (" in what[0] and "two 1.2 (" in what[0], f"they are not named: {what[0]}")
    for message, name in zip(heard[0], ("sampler=one/shared", "diffkit one/measure", "run=one/faces"), strict=False):
        expect(name in message, f"{name} is not in: {message}")


def _claims(folder: Path, order: str, places: str) -> list[Path]:
    """Write the two in this order, into folders of these names; gives the folders."""
    names = {"a": "one", "b": "two"}
    for which, place in zip(order, places, strict=True):
        write(folder / place, names[which], CLAIMS, name="same")
    return sorted({folder / place for place in places})


def _heard(sites: Sequence[Path]) -> list[str]:
    """What is said of a part, a command, a bundle, and an entry point that two plugins claim."""
    with found(*sites):
        heard = [said(compose, ["sampler=shared"]), said(call, "measure", [], ()), said(shipped, "faces")]
        return [*heard, said(compose, ["sampler=same/shared"])]


@mutation("the last plugin that claims a name has it", "P2", said="'one 1.2' is not in")
def last_wins(patch):  # type: ignore[no-untyped-def]
    def owners(self, entry):  # type: ignore[no-untyped-def]
        return [e for e in self.entries(entry.component.kind) if e.component.name == entry.component.name][-1:]

    patch.setattr(Registry, "_owners", owners)


@row(
    "P3",
    fault="a part of another base class, without a method, with other arguments, or with other answers than its kind",
    required="refused before any work, in a sentence with part, distribution and what was expected, and the near name",
    bare="2 accepted, a misspelt hook ignored",
    full=len(UNFIT) + 1,
    small=1,
)
def misfit(trial: Trial) -> None:
    """All of them in this process in the first trial; one by a command in each of the others."""
    site = good(trial.folder / "site")
    if trial.number:
        chosen, words = unfit(site, list(UNFIT)[trial.number - 1])
        refused(command("train", *_with(chosen), sites=[site]), *words)
        expect(not (trial.folder / "runs").exists(), "a folder was made")
        return
    faults = [unfit(site, name) for name in UNFIT]
    with found(site):
        skeleton(compose(_with("sampler=good")))
        for chosen, words in faults:
            message = said(_checked, chosen)
            expect(all(word in message for word in words), f"{words} are not in: {message}")


def _with(chosen: str) -> list[str]:
    fixed = ["data=moons", "denoiser=mlp", "conditioner=[]", "guidance=[]", "metric=[]"]
    return [*(override for override in fixed if not override.startswith(chosen.partition("=")[0])), chosen]


def _checked(chosen: str) -> None:
    skeleton(compose(_with(chosen)))


@mutation("what a class looks like is not held against its kind", "P3", said="('sampler=no-base',) ended in")
def any_class(patch):  # type: ignore[no-untyped-def]
    patch.setattr(parts, "refuse_unfit", lambda *asked: None)


@mutation("what a part answers is not held against its kind", "P3", said="nothing was refused")
def any_answer(patch):  # type: ignore[no-untyped-def]
    patch.setattr(check, "rehearse", lambda *asked: None)


def api(patch: pytest.MonkeyPatch, version: str) -> None:
    """This diffkit has another version of the plugin API."""
    patch.setattr(loading, "API", int(version))
    patch.setattr(standard, "diffkit_api", int(version))


@row(
    "P5",
    fault="a plugin that is built for a newer or an older version of the plugin API",
    required="exit 2 with both numbers where it is asked for; the version before is kept",
    bare="not measured",
    full=4,
    small=1,
)
def another_api(trial: Trial) -> None:
    """Of version 3: those for 1 and 4 are refused, those for 2 and 3 are used, also where none is stated."""
    site = trial.folder / "site"
    for stated in (1, 2, 3, 4):
        source = f"diffkit_api = {stated}\n" + entry(f"grid=g{stated}=grids_{stated}:G")
        grids = "from diffkit.standard.grids import Uniform\n\n\nclass G(Uniform): ...\n"
        write(site, f"for-{stated}", source, version="0.8", **{f"grids_{stated}": grids})
    with pytest.MonkeyPatch.context() as patch, found(site), warnings.catch_warnings(action="ignore"):
        api(patch, "3")
        for stated in (2, 3):
            registry().load("grid", f"g{stated}")
        for stated in (1, 4):
            message = said(compose, [f"grid=for-{stated}/g{stated}"])
            numbers = f"for-{stated} 0.8", f"version {stated} of the plugin API", "this diffkit has version 3"
            expect(all(word in message for word in numbers), f"{numbers} are not in: {message}")
    stated = trial.pick([4, 1])
    done = command("check", f"grid=g{stated}", sites=[site], inject=["trust.plugins:api 3"])
    refused(done, f"for-{stated} 0.8", f"version {stated} of the plugin API", "this diffkit has version 3")


@mutation("nobody asks for which version a plugin is", "P5", said="nothing was refused")
def any_api(patch):  # type: ignore[no-untyped-def]
    patch.setattr(loading, "_api", lambda module, plugin: 1)
