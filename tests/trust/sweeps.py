"""One job of a sweep fails, is killed, or is a mistake."""

import json
import multiprocessing
import os
import signal
import sys
from pathlib import Path
from typing import Any

import yaml

from trust.command import diffkit, start, tiny
from trust.mutation import mutation
from trust.row import Trial, expect, row

KILLED, RAISES = 0, 2
"""The seeds of the jobs to which it happens, after three updates."""


@row(
    "R9",
    fault="one sweep job raises, one is killed; or the sweep is asked to stop",
    required="all other jobs run, a line for each job's state, exit 3 (or 128+n); run again it makes only the missing",
    bare="raise: all run; kill: 2/4 run",
    full=5,
    small=1,
)
def jobs_fail(trial: Trial) -> None:
    jobs, inject = (10, []) if trial.number else (2, ["trust.sweeps:forked"])
    command = ["train", "-m", *tiny(f"seed={','.join(map(str, range(jobs)))}", "out=all")]
    (_stopped if trial.number in (2, 4) else _two_break)(trial, command, jobs, inject)
    before = _written(trial.folder)
    again = diffkit(*command, "resume=auto", cwd=trial.folder, inject=inject)
    expect(again.returncode == 0, f"the rerun ended with {again.returncode}: {again.stderr[-1500:]}")
    config = yaml.safe_load((trial.folder / "all/0/config.yaml").read_text())
    expect(config["diffkit"].get("resumed", {}).get("step", 0) >= 2, "the killed job began anew")
    after = _written(trial.folder)
    expect(len(after) == jobs, f"{len(after)} of {jobs} runs are there after the rerun")
    expect(all(after[name] == before[name] for name in before), "the rerun made again what was finished")


def _two_break(trial: Trial, command: list[str], jobs: int, inject: list[str]) -> None:
    done = diffkit(*command, cwd=trial.folder, inject=[*inject, "trust.sweeps:broken"])
    expect(done.returncode == 3, f"status {done.returncode}, not 3: {done.stderr[-1500:]}")
    finished = sorted(map(int, _written(trial.folder)))
    expect(finished == [n for n in range(jobs) if n not in (KILLED, RAISES)], f"only the jobs {finished} finished")
    _told(done.stderr, {KILLED: "killed by SIGKILL", RAISES: "failed with status 3"}, jobs)


def _stopped(trial: Trial, command: list[str], jobs: int, inject: list[str]) -> None:
    """The first job is at work when the sweep is asked to stop."""
    with start(*command, cwd=trial.folder, inject=[*inject, "trust.sweeps:waits"]) as running:
        running.until("waiting after 3 updates", 300)
        os.kill(running.pid, signal.SIGTERM)
        status = running.wait(60)
        expect(status == 143, f"status {status}, not 143: {running.said[-1500:]}")
        _told(running.said, {0: "stopped by SIGTERM"} | dict.fromkeys(range(1, jobs), "not started"), jobs)


def _told(said: str, states: dict[int, str], jobs: int) -> None:
    for number in range(jobs):
        line = f"{states.get(number, 'finished')}: all/{number} (seed={number})"
        expect(line in said, f"{line!r} is not in: {said[-1500:]}")


def _written(folder: Path) -> dict[str, int]:
    """When each finished run's weights were written."""
    runs = [file.parent for file in folder.glob("all/*/status.json") if json.loads(file.read_text())["status"] == 0]
    return {run.name: (run / "bundle/model.safetensors").stat().st_mtime_ns for run in runs}


def forked(patch: Any) -> None:
    """Jobs are forks of the sweep's own process, which has loaded all: one from nothing takes eight seconds."""
    from diffkit.compose import guard, hydra, process

    become = process._become

    def afresh(*arguments: Any) -> None:
        for number in guard.SIGNALS:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        become(*arguments)

    patch.setattr(process, "_become", afresh)
    patch.setattr(hydra, "prepare", lambda *modules: multiprocessing.get_context("fork"))


def broken(patch: Any) -> None:
    """One job raises after three updates, another is killed."""

    def strike(seed: int) -> None:
        if seed == RAISES:
            raise RuntimeError("boom")
        if seed == KILLED:
            os.kill(os.getpid(), signal.SIGKILL)

    _after_three(patch, strike)


def waits(patch: Any) -> None:
    """One job waits after three updates, to be stopped."""

    def wait(seed: int) -> None:
        if seed == 0:
            print("waiting after 3 updates", flush=True)
            signal.pause()

    _after_three(patch, wait)


def _after_three(patch: Any, strike: Any) -> None:
    from diffkit.run.callbacks.figures import Figures

    end = Figures.on_train_batch_end

    def then(self: Any, trainer: Any, task: Any, *rest: Any) -> None:
        if task.updates == 4:
            strike(yaml.safe_load(Path(trainer.default_root_dir, "config.yaml").read_text())["seed"])
        end(self, trainer, task, *rest)

    patch.setattr(Figures, "on_train_batch_end", then)


@mutation("the jobs of a sweep share a process", "R9", said="status -9")
def one_process(patch: Any) -> None:
    from diffkit.compose import sweep

    class Here:
        """A job that runs in the sweep's own process."""

        def __init__(self, processes: Any, command: list[str], environment: Any) -> None:
            self._command, self.exitcode = command, 0

        def join(self) -> None:
            from diffkit.cli import main

            patch.setattr(sys, "argv", self._command)
            try:
                main()
            except SystemExit as done:
                self.exitcode = done.code

    patch.setattr(sweep, "start", Here)
