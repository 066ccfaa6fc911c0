"""A run that is asked to stop: by every signal, in every phase."""

import os
import signal
from contextlib import chdir, contextmanager
from pathlib import Path
from time import monotonic, process_time, sleep

from trust._here import run
from trust.command import diffkit, start, tiny
from trust.mutation import mutation
from trust.row import Fault, Trial, expect, row

NUMBERS = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1]
PHASES = {
    "step": ("diffkit.run.module:Task.optimizer_step", 4),
    "validation": ("diffkit.run.module:Task.validation_step", 2),
    "save": ("torch:save", 4),
    "preview": ("diffkit.run.callbacks.preview:generate", 1),
    "closing": ("diffkit.run.closing:draw", 1),
    "encoding": ("diffkit.run.module:Task.on_train_start", 1),
    "building": ("diffkit.run.train:provenance", 1),
}
"""Where the signal comes: at the n-th call of what."""
STOPPED = {"step": 4, "validation": 3, "save": 5, "preview": 3, "closing": 8}
"""The updates that are saved then, the first of those where the signal comes into the update after it."""
CHOICES = {
    "validation": ["trainer.val_check_interval=3", "+trainer.limit_val_batches=4"],
    "save": ["callbacks.saving.every=1"],
    "preview": ["preview_every=3"],
    "closing": ["samples=2"],
}
_sent: list[float] = []
_calls: dict[str, int] = {}


@row(
    "R5",
    fault="SIGTERM, SIGINT, SIGHUP, SIGUSR1 mid-step, mid-validation, mid-save, during start",
    required="checkpoint at the last full step, exit 128+n, <= 10 s after the step; a second signal does not damage it",
    bare="0/20 saved, exit 0 for SIGTERM; SIGHUP and SIGUSR1 kill",
    full=4 * 7 * 5,
    small=7,
)
def stopped(trial: Trial) -> None:
    phase = trial.pick(list(PHASES))
    number = NUMBERS[trial.number // len(PHASES) % len(NUMBERS)]
    if trial.number >= 4 * 7 * 4:
        return _stopped_at_any_moment(trial, number)
    with chdir(trial.folder), _heard():
        choices = ("callbacks.saving.every=1000", *CHOICES.get(phase, ()))
        status, said = run(*choices, inject=f"trust.signals:signal_at {phase} {int(number)}")
        expect(_sent, f"no signal: {status} {said}")
        took = process_time() - _sent[0]
        trial.figure("slowest stop in s of CPU", took)
        expect(took <= 10, f"it took {took:.0f} s")
        expect(status == 128 + number, f"status {status}: {said}")
        expect(f"stopped by {number.name} " in said, said)
        _check_folder(phase, said, goes_on=trial.number >= len(PHASES) or phase in ("encoding", "closing"))


def _check_folder(phase: str, said: str, goes_on: bool) -> None:
    from diffkit.run.checkpoint import newest

    runs = [path for path in Path("runs").glob("*") if not path.is_symlink()] if Path("runs").exists() else []
    if phase == "building":
        expect(not runs, f"left: {runs}")
        return
    (folder,) = runs
    if phase == "encoding":
        expect("resume=auto out=" in said, said)
        status, said = run("resume=auto", f"out={folder}")
    else:
        expect(not _calls["validation"], "validation went on")
        step = newest(folder / "checkpoints").step
        expect(step == STOPPED[phase], f"saved at update {step}, not {STOPPED[phase]}")
        expect(f"after update {step}; continue with: diffkit train resume={folder}" in said, said)
        expect(phase != "preview" or not (folder / "samples" / "preview.png").exists(), "the preview was finished")
        if not goes_on:
            return
        status, said = run(f"resume={folder}")
    expect(status == 0 and newest(folder / "checkpoints").step == 8, f"cannot go on: {said}")
    expect(phase != "closing" or (folder / "samples" / "grid.png").exists(), "no samples after resuming")


@contextmanager
def _heard():  # type: ignore[no-untyped-def]
    """Within it a signal that diffkit does not take fails the trial, instead of ending the tests."""

    def fail(number, frame):  # type: ignore[no-untyped-def]
        raise Fault(f"{signal.Signals(number).name} would have killed it")

    before = {number: signal.signal(number, fail) for number in NUMBERS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stopped_at_any_moment(trial: Trial, number: int) -> None:
    """From outside, in a process of its own; before `train` is called, a signal kills as it does any program."""
    choices = tiny("trainer.max_steps=400", "callbacks.saving.every=50", "preview_every=60", "samples=4", "out=run")
    with start("train", *choices, cwd=trial.folder) as running:
        sleep(trial.random.uniform(0, 4))
        begun = (trial.folder / "run" / "config.yaml").exists()
        sent = monotonic()
        os.kill(running.pid, number)
        status = running.wait(60)
        trial.figure("slowest stop in s", monotonic() - sent)
        expect(status in (0, 128 + number) or (not begun and status == -number), f"status {status}: {running.said}")
    again = diffkit("train", *choices, "resume=auto", cwd=trial.folder)
    expect(again.returncode == 0, f"cannot go on: {again.stderr[-1500:]}")
    expect((trial.folder / "run" / "samples" / "grid.png").exists(), "no samples in the end")


def signal_at(patch, phase, number):  # type: ignore[no-untyped-def]
    """Send this process the signal in the phase; in a save a Ctrl-C follows at once."""
    from importlib import import_module

    from diffkit.run import module, signals

    _sent.clear()
    _calls.clear()
    _calls["validation"] = 0
    place, when = PHASES[phase]
    owner, _, name = place.partition(":")
    holder = import_module(owner)
    *path, name = name.split(".")
    for part in path:
        holder = getattr(holder, part)
    real, seen = getattr(holder, name), 0

    def call(*args, **kwargs):  # type: ignore[no-untyped-def]
        nonlocal seen
        seen += 1
        if seen != when:
            return real(*args, **kwargs)
        _sent.append(process_time())
        os.kill(os.getpid(), int(number))
        result = real(*args, **kwargs)
        if phase == "save":
            os.kill(os.getpid(), signal.SIGINT)
            sleep(0)
        return result

    patch.setattr(holder, name, call)
    patch.setattr(signals, "TWICE", 0.0)
    validate = module.Task.validation_step

    def count(*args):  # type: ignore[no-untyped-def]
        _calls["validation"] += bool(_sent)
        return validate(*args)

    patch.setattr(module.Task, "validation_step", count)


@mutation("signals are left to Lightning", "R5", said="would have killed it")
def lightnings_signals(patch):  # type: ignore[no-untyped-def]
    from diffkit.run.signals import Signals

    patch.setattr(Signals, "listen", lambda self: {})


@mutation("validation is finished before the run stops", "R5", said="validation went on", trials=(1,))
def validation_finished(patch):  # type: ignore[no-untyped-def]
    from diffkit.run.callbacks import Stop

    patch.delattr(Stop, "on_validation_batch_end")


@mutation("a second signal interrupts a save", "R5", said="saved at update 3, not 5", trials=(2,))
def save_interrupted(patch):  # type: ignore[no-untyped-def]
    from diffkit.run.checkpoint import Checkpoints

    patch.setattr(Checkpoints, "busy", property(lambda self: False, lambda self, value: None), raising=False)
