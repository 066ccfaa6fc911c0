"""Weights & Biases that is away, dies, hangs or comes back, and runs that are killed while they log."""

import csv
import json
import os
import signal
import socket
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import forks

from trust._tracked import clock, ended_after, small_disk, until
from trust.command import diffkit, start, tiny
from trust.mutation import mutation
from trust.row import Missing, Trial, expect, row
from trust.wandb_server import Server

STEPS = 16
LOGGED = ("loss", "lr")
"""The columns that a step has whenever it is computed; images per second are others when it is computed again."""
ENOUGH = 40.0
"""Seconds in which a run must have ended after its last step."""


def run_of(*overrides: str, wait: float = 20.0) -> list[str]:
    """The arguments of a tiny run that logs every step to W&B."""
    ours = (
        "logger=[csv,wandb]",
        f"logger.wandb.wait={wait}",
        f"trainer.max_steps={STEPS}",
        "callbacks.figures.every=1",
    )
    return tiny(*ours, *overrides)


def nobody(trial: Trial, **more: str) -> dict[str, str]:
    """The environment of a machine on which nobody is logged in."""
    nothing = {"WANDB_API_KEY": "", "WANDB_BASE_URL": "http://127.0.0.1:9", "WANDB_MODE": "offline"}
    here = {"NETRC": str(trial.folder / "netrc"), "HOME": str(trial.folder), "WANDB_ERROR_REPORTING": "false"}
    here |= {"WANDB_X_DISABLE_STATS": "true", "WANDB_X_DISABLE_MACHINE_INFO": "true"}
    return {**nothing, **here, **more}


def figures(run: Path) -> dict[int, dict[str, float]]:
    """The figures of each step in `metrics.csv`; raises `Fault` if a step has two lines."""
    with (run / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    steps = [int(line["step"]) for line in rows]
    expect(steps == sorted(set(steps)), f"metrics.csv has the steps {steps}")
    return {step: {name: float(line[name]) for name in LOGGED} for step, line in zip(steps, rows, strict=True)}


def agrees(history: list[dict[str, Any]], run: Path) -> None:
    """The history has each step of `metrics.csv` once, with the same figures."""
    known = figures(run)
    lines = [line for line in history if "loss" in line]
    steps = [int(line["_step"]) for line in lines]
    expect(steps == sorted(known), f"W&B has the steps {steps}, metrics.csv {sorted(known)}")
    for line in lines:
        found = {name: float(line[name]) for name in LOGGED}
        expect(found == known[int(line["_step"])], f"step {line['_step']} is {found}, not {known[int(line['_step'])]}")


def kept(run: Path) -> list[dict[str, Any]]:
    """The history in the offline files of a run, in the order in which they are sent."""
    from diffkit.run.wandb_parts import Part

    parts = [Part(folder) for folder in sorted(run.glob("wandb/offline-run-*"))]
    records = [record for part in parts for record in part.records() if record.WhichOneof("record_type") == "history"]
    return [{"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in r.history.item} for r in records]


def sync(trial: Trial, env: dict[str, str], *words: str) -> None:
    """`wandb sync`, as the warning says it."""
    done = forks.run(["-m", "wandb", "sync", *words], cwd=trial.folder, env=nobody(trial, **env))
    expect(done.returncode == 0 and "ERROR" not in done.stderr, f"wandb sync: {done.stderr[-1000:]}")


def command(said: str) -> list[str]:
    """The words of the `wandb sync` that a warning gives."""
    lines = [line for line in said.splitlines() if "wandb sync " in line]
    expect(len(lines) == 1, f"{len(lines)} lines name the sync command: {said[-1500:]}")
    return lines[0].partition("wandb sync ")[2].split()


@row(
    "W1",
    fault="W&B at the start: no key, refused connections, a server that is silent, a name that is not found",
    required="training starts in 15 s, the run is kept offline, one warning with the sync command",
    bare="never starts: exit 1 after 5 s, 107 s, 122 s, not measured",
    full=20,
    small=2,
)
def away_at_the_start(trial: Trial) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        url = trial.pick([
            f"http://127.0.0.1:{silent.getsockname()[1]}", "", "http://127.0.0.1:9", "http://nowhere.invalid"
        ])  # fmt: skip
        env = nobody(trial, WANDB_MODE="online", **({"WANDB_API_KEY": "0" * 40, "WANDB_BASE_URL": url} if url else {}))
        quick = ["trust._tracked:impatient"] if trial.number < 2 else []
        arguments = run_of("out=run", wait=60)
        done = diffkit("train", *arguments, cwd=trial.folder, env=env, inject=["trust._tracked:clocked", *quick])
    run, said = trial.folder / "run", done.stderr
    expect(done.returncode == 0, f"status {done.returncode}: {said[-1500:]}")
    begun, first, *_ = clock(trial)
    trial.figure("first step after s", first - begun)
    expect(first - begun <= 15, f"training began after {first - begun:.0f} s")
    expect(command(said) == [f"{Path('run')}/wandb/offline-run-*"], f"the command is another: {said}")
    expect(said.count("W&B") == 1 and said.count("wandb:") == 0, f"more than one warning: {said}")
    agrees(kept(run), run)


@row(
    "W2",
    fault="W&B's process is killed or stopped, or its disk is full, while training goes on",
    required="all steps, none delayed by more than 1 s, exit 0 in 30 s after the last, `metrics.csv` complete",
    bare="killed: dies at the next step; stopped: never exits (over 240 s); full: a traceback in the log",
    full=30,
    small=2,
)
def dies_or_hangs(trial: Trial) -> None:
    what = trial.pick(["stop", "kill", "fill"])
    if what == "fill" and os.geteuid():
        raise Missing("needs root for a full disk")
    small = trial.number < 2
    at = 4 if small else trial.random.randrange(2, STEPS - 1)
    faults = ["trust._tracked:clocked 0.03", f"trust._tracked:fault {what} {at}"]
    with (
        small_disk(trial, what == "fill"),
        ended_after(trial),
        start(
            "train", *run_of("out=run", wait=0.5 if small else 20), cwd=trial.folder, env=nobody(trial), inject=faults
        ) as running,
    ):
        until(lambda: len(clock(trial)) > STEPS or running.wait(0) is not None, "training stands still", 60)
        status = running.wait(ENOUGH)
        ended = time.time()
    stamps = clock(trial)[1:]
    expect(status is not None, f"it has not ended after {ended - stamps[-1]:.0f} s")
    expect(status == 0, f"status {status}: {running.said[-1500:]}")
    expect(len(stamps) == STEPS, f"{len(stamps)} steps of {STEPS}")
    gap = max(b - a for a, b in pairwise(stamps[1:]))  # the fault waits for W&B to begin, in the second step
    trial.figure("longest step in s", gap)
    trial.figure("end after the last step in s", ended - stamps[-1])
    expect(gap <= 1, f"a step took {gap:.1f} s")
    expect(ended - stamps[-1] <= 30, f"it ended {ended - stamps[-1]:.0f} s after the last step")
    expect(sorted(figures(trial.folder / "run")) == [*range(1, STEPS + 1)], "metrics.csv is not complete")
    expect("Traceback" not in running.said, f"a traceback: {running.said[-1500:]}")


@row(
    "W3",
    fault="the network is lost, and comes back: before the run, within it, after it",
    required="no step lost locally; the history equals `metrics.csv`, after `wandb sync` where a warning asks for it",
    bare="not measured",
    full=10,
    small=1,
)
def network_comes_back(trial: Trial) -> None:
    when = trial.pick(["from the start", "within", "to the end"])
    with Server() as server:
        server.down = when == "from the start"
        env = nobody(trial, **server.env)
        pace = "trust._tracked:clocked " + ("0" if when == "from the start" else "0.1")
        inject = [pace, *(["trust._tracked:impatient"] * server.down)]
        with start("train", *run_of("out=run"), cwd=trial.folder, env=env, inject=inject) as running:
            if when != "from the start":
                until(lambda: len(clock(trial)) > 3 and server.runs, "the run never came online")
                time.sleep(trial.random.uniform(0, 1))
                server.down = True
            if when == "within":
                until(lambda: len(clock(trial)) > STEPS - 3, "training stood still")
                server.down = False
            status = running.wait(60)
        server.down = False
        expect(status == 0, f"status {status}: {running.said[-1500:]}")
        run = trial.folder / "run"
        expect(sorted(figures(run)) == [*range(1, STEPS + 1)], "metrics.csv is not complete")
        if when == "within":
            expect("W&B" not in running.said, f"it gave up: {running.said[-1500:]}")
        else:
            words = [str(p) for word in command(running.said) for p in matches(trial, word)]
            sync(trial, server.env, *words)
        agrees(list(server.runs.values())[-1].history, run)


@row(
    "W4",
    fault="a run that is killed or stopped, and resumed: W&B may have fewer steps than its checkpoint, or more",
    required="one W&B run, no step twice, none missing",
    bare="not measured",
    full=10,
    small=2,
)
def resumed(trial: Trial) -> None:
    small = trial.number < 2
    flushed = trial.number % 2 == 0
    """Whether W&B had written down what it was given; after a kill it may not have."""
    cut = 7 if small else trial.random.randrange(5, STEPS - 1)  # there is a checkpoint of step 4
    end = trial.pick(["die", "die", "interrupt"])
    faults = ["trust._tracked:clocked", f"trust._tracked:fault {end} {cut}"]
    faults += ["trust._tracked:written_down"] * flushed
    env, every = nobody(trial), "callbacks.saving.every=4"
    with start("train", *run_of("out=run", every), cwd=trial.folder, env=env, inject=faults) as running:
        status = running.wait(60)
    expect(
        status == (-signal.SIGKILL if end == "die" else 128 + signal.SIGTERM),
        f"status {status}: {running.said[-1500:]}",
    )
    done = diffkit("train", "resume=run", cwd=trial.folder, env=env, inject=["trust._tracked:clocked"])
    expect(done.returncode == 0, f"status {done.returncode}: {done.stderr[-1500:]}")
    run = trial.folder / "run"
    expect(sorted(figures(run)) == [*range(1, STEPS + 1)], "metrics.csv is not complete")
    agrees(kept(run), run)
    if not small:
        with Server() as server:
            sync(trial, server.env, *map(str, sorted(run.glob("wandb/offline-run-*"))))
            expect(len(server.runs) == 1, f"{len(server.runs)} W&B runs")
            agrees(next(iter(server.runs.values())).history, run)


def matches(trial: Trial, word: str) -> list[Path | str]:
    """A word of a command as a shell would fill it in."""
    return sorted(trial.folder.glob(word)) if "*" in word else [word]


@mutation("a W&B that cannot be reached leaves nothing behind", "W1", "W3", said="sync command")
def nothing_offline(patch):  # type: ignore[no-untyped-def]
    from diffkit.run.wandb import Wandb

    def give_up(self, why):  # type: ignore[no-untyped-def]
        raise ConnectionError(why)

    patch.setattr(Wandb, "_offline", give_up)


@mutation("calls are made on the training thread", "W2", said="it has not ended", trials=(0,))
def in_the_foreground(patch):  # type: ignore[no-untyped-def]
    from diffkit.run.background import Background

    patch.setattr("trust.tracking.ENOUGH", 2.0)
    patch.setattr(Background, "__call__", lambda self, call: call())


@mutation("the end waits for W&B without a limit", "W2", said="it has not ended", trials=(0,))
def waits_for_ever(patch):  # type: ignore[no-untyped-def]
    from diffkit.run import wandb

    patch.setattr("trust.tracking.ENOUGH", 2.0)
    patch.setattr(wandb, "_end_process", lambda *_: None)


@mutation("W&B gets every step that is logged, twice or not", "W4", said="W&B has the steps", trials=(0,))
def every_step(patch):  # type: ignore[no-untyped-def]
    from diffkit.run.wandb import Wandb

    patch.setattr(Wandb, "_log", lambda self, values, step: self._run.log(values, step=step))


@mutation("W&B is not told of the steps that it lacks", "W4", said="W&B has the steps", trials=(1,))
def no_steps_from_the_file(patch):  # type: ignore[no-untyped-def]
    from diffkit.run import wandb

    patch.setattr(wandb, "_figures", lambda info: {})
