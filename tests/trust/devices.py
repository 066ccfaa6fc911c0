"""A run on several devices, one of which fails, is killed, or gets stuck; and processes that read data."""

import json
import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import chdir, nullcontext
from types import SimpleNamespace

from PIL import Image

from trust.command import diffkit, injected, tiny
from trust.mutation import mutation
from trust.row import Trial, expect, row

TIMEOUT = 5
CHOICES = (
    "out=run", "trainer.accelerator=cpu", "trainer.devices=2", "trainer.strategy=ddp", "trainer.precision=32-true",
    "trainer.max_steps=2000", "callbacks.saving.every=2",
)  # fmt: skip
FAULTS = {"raise": "rank 1 failed: ValueError: a bad sample", "kill": "rank 1 was killed by SIGKILL"}
FAULTS |= {"sleep": f"rank 1 is stuck: the others have waited for it for {TIMEOUT} s"}
FAULTS |= {"freeze": f"rank 1 does not run any more: nothing was heard of it for {TIMEOUT} s"}


@row(
    "R10",
    fault="several devices: a rank raises, is killed, is stuck",
    required="every process gone in <= 30 s (stuck: the configured timeout + 30 s), exit 3, rank and cause named, last"
    " checkpoint valid",
    bare="a stuck one: > 90 s",
    full=20,
    small=2,
)
def a_rank_fails(trial: Trial) -> None:
    fault = trial.pick(["raise", "sleep", "kill", "freeze"])
    small = trial.number < 12
    step = 4 if small else trial.random.randrange(2, 12)
    rank = 0 if trial.number in (8, 9, 10, 11) else 1
    inject = [f"trust.devices:at_step {fault} {rank} {step}", *(["trust.devices:forked"] if small else [])]
    timeout = TIMEOUT if fault in ("sleep", "freeze") else 60
    done = diffkit("train", *tiny(*CHOICES, f"timeout={timeout}"), cwd=trial.folder, inject=inject)
    at, *pids = (trial.folder / "pids").read_text().split()
    took = time.time() - float(at)
    trial.figure("slowest end in s", took)
    gone = not rank and fault in ("kill", "freeze")  # the command itself, of which another one can only see the end
    status, said = (-signal.SIGKILL, "rank 0") if gone else (3, FAULTS[fault].replace("1 ", f"{rank} ", 1))
    if not rank and fault == "raise":
        said = "ValueError: a bad sample"
    expect(done.returncode == status, f"status {done.returncode}: {done.stderr[-1500:]}")
    expect(said in done.stderr or gone, f"{said!r} is not in: {done.stderr[-1500:]}")
    expect(took <= 30 + TIMEOUT * (fault in ("sleep", "freeze")), f"it took {took:.0f} s")
    end = time.monotonic() + 30
    while left := [pid for pid in pids if _lives(int(pid))]:
        expect(time.monotonic() < end, f"left: {left}")
        time.sleep(0.1)
    _check_checkpoint(trial, step, gone)


def _check_checkpoint(trial: Trial, step: int, gone: bool) -> None:
    from diffkit.run.checkpoint import newest

    saved = newest(trial.folder / "run" / "checkpoints").step
    expect(saved == step // 2 * 2, f"saved at update {saved}, failed in {step + 1}")
    status = json.loads((trial.folder / "run" / "status.json").read_text())
    expect(status["state"] == ("running" if gone else "failed"), f"status.json: {status}")


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@row(
    "R11",
    fault="a process that reads the data is killed, or out of memory",
    required="exit 3 in <= 60 s, cause named, resumable",
    bare="not measured",
    full=10,
    small=2,
)
def a_reader_ends(trial: Trial) -> None:
    for number in range(40):
        path = trial.folder / "pictures" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), 6 * number).save(path)
    fault = trial.pick(["killed", "memory"])
    after = 80 if trial.number < 2 else trial.random.randrange(80, 140)  # after the first save, before the last batch
    with chdir(trial.folder):
        status, said, took = _read("out=run", inject=[f"trust.devices:reader {fault} {after}"])
        trial.figure("slowest end in s", took)
        expect(status == 3, f"status {status}: {said}")
        how = "ran out of memory" if fault == "memory" else "was killed, as by a machine that is out of memory"
        expect(f"a process that reads the data {how}; continue with: diffkit train resume=run" in said, said)
        expect(took <= 60, f"it took {took:.0f} s")
        if trial.number != 1:  # in CI one resumed run is enough
            status, said, _ = _read("resume=run")
            expect(status == 0, f"cannot go on: {status} {said}")


def _read(*overrides: str, inject: Sequence[str] = ()) -> tuple[int, str, float]:
    """Train on the pictures in this process; the status, the error, and the seconds it took."""
    from diffkit import DiffkitError, compose
    from diffkit.run.train import train

    data = ("data=image_folder", "data.folder=pictures", "data.workers=1", "data.batch_size=20", "data.held_out=0.1")
    start = time.monotonic()
    with injected(*inject):
        try:
            train(compose(tiny(*data, *overrides)), overrides)
        except DiffkitError as error:
            return error.status, str(error), time.monotonic() - start
    return 0, "", time.monotonic() - start


def reader(patch, fault, after):  # type: ignore[no-untyped-def]
    """A process that reads data ends after so many rows."""
    from diffkit.standard.data.image_folder import ImageFolder

    real, main, read = ImageFolder.load, os.getpid(), 0

    def load(data, split, row):  # type: ignore[no-untyped-def]
        nonlocal read
        read += split == "train" and os.getpid() != main
        if read > int(after):
            if fault == "memory":
                raise MemoryError
            os.kill(os.getpid(), signal.SIGKILL)
        return real(data, split, row)

    patch.setattr(ImageFolder, "load", load)


def at_step(patch, fault, rank, step):  # type: ignore[no-untyped-def]
    """On one device something goes wrong in the update after this many."""
    from diffkit.run.module import Task

    real = Task.training_step

    def training_step(self, batch, batch_idx):  # type: ignore[no-untyped-def]
        if self.updates == 1:
            _note(f" {os.getpid()}")
        if self.updates == int(step) and self.global_rank == int(rank):
            _note("", str(time.time()))
            if fault == "raise":
                raise ValueError("a bad sample")
            if fault == "sleep":
                time.sleep(600)
            os.kill(os.getpid(), signal.SIGKILL if fault == "kill" else signal.SIGSTOP)
        return real(self, batch, batch_idx)

    patch.setattr(Task, "training_step", training_step)


def _note(pid: str, at: str = "") -> None:
    """The processes' numbers, after the time of the fault."""
    with open("pids", "a" if pid else "r+") as file:
        text = pid or at + file.read()
        file.seek(0, os.SEEK_SET if at else os.SEEK_END)
        file.write(text)


class Fork(subprocess.Popen):  # type: ignore[type-arg]
    """A command of ours, or a script, as a fork, which has loaded the slow libraries already."""

    def _execute_child(self, args, *others):  # type: ignore[no-untyped-def]
        environment = others[5]
        self.pid = os.fork()
        if self.pid:
            self._child_created = True
            return
        os.environ.clear()
        os.environ.update(environment)
        _be_command()


def _be_command() -> None:
    import traceback

    from hydra.core.global_hydra import GlobalHydra
    from lightning.pytorch.utilities import rank_zero_only

    from trust.command import main

    script = None if sys.modules["__main__"].__spec__ else sys.argv[0]
    GlobalHydra.instance().clear()
    rank_zero_only.rank = int(os.environ["LOCAL_RANK"])
    status = 1
    try:
        runpy.run_path(script, run_name="__main__") if script else main()
        status = 0
    except SystemExit as done:
        status = done.code if isinstance(done.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def forked(patch):  # type: ignore[no-untyped-def]
    """The other devices' processes are forks of the first: they start in no time."""
    from lightning.pytorch.strategies.launchers import subprocess_script

    patch.setattr(subprocess_script, "subprocess", SimpleNamespace(Popen=Fork))


@mutation("the processes of a run are left to Lightning", "R10", said="'rank 1 failed")
def nobody_watches(patch):  # type: ignore[no-untyped-def]
    from diffkit.run import train

    patch.setattr(train, "watched", lambda *_: nullcontext())


@mutation("errors of processes that read data are passed on as they are", "R11", said="DataLoader worker")
def passed_on(patch):  # type: ignore[no-untyped-def]
    from diffkit.core.errors import RunFailed
    from diffkit.run import train

    def fit(job):  # type: ignore[no-untyped-def]
        try:
            job.trainer.fit(job.parts.task, datamodule=job.parts.data)
        except (RuntimeError, MemoryError) as error:
            raise RunFailed(str(error)) from error

    patch.setattr(train, "_fit", fit)
