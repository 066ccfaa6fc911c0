"""Sampling in bulk that is killed, stopped, or out of room."""

import atexit
import errno
import os
import shutil
import signal
from collections.abc import Sequence
from copy import deepcopy
from functools import cache
from hashlib import sha256
from pathlib import Path
from tempfile import mkdtemp
from time import sleep

import numpy as np
import small
from omegaconf import DictConfig
from PIL import Image

from trust.command import diffkit, injected, start
from trust.mutation import mutation
from trust.row import Trial, expect, row

ROWS, BATCH = 20, 4
FAULTS = ["killed 6", "full 2", "stopped 2", "killed 3", "moment"]
"""In the writing of which file; the sixth is the one of all samples."""
CHOICES = ("sampler=ddim", "grid=uniform", "grid.steps=3", "guidance=[]", f"n={ROWS}", f"batch_size={BATCH}", "label=1")
DEVICES = ("trainer.accelerator=cpu", "trainer.devices=1")
_drawn: list[int] = []


@row(
    "R2",
    fault="SIGKILL at a random moment of bulk sampling; a signal; a full disk",
    required="no half file under a final name; a rerun makes exactly the missing batches; bytes equal to one"
    " uninterrupted run; nothing else left",
    bare="not measured",
    full=60,
    small=3,
)
def sampling_killed(trial: Trial) -> None:
    run, whole = _whole()
    out = trial.folder / "out"
    fault = FAULTS[trial.number] if trial.number < len(FAULTS) else "moment"
    if fault == "moment":
        with start("sample", f"run={run}", f"out={out}", *CHOICES, *DEVICES, cwd=trial.folder) as running:
            sleep(trial.random.uniform(0, 3))
            os.kill(running.pid, signal.SIGKILL)
    elif fault.startswith("killed"):
        inject = [f"trust.sampling:{fault.replace(' ', '_at ')}"]
        done = diffkit("sample", f"run={run}", f"out={out}", *CHOICES, *DEVICES, cwd=trial.folder, inject=inject)
        expect(done.returncode == -signal.SIGKILL, f"status {done.returncode}: {done.stderr[-1500:]}")
    else:
        status, said = _sample(run, out, [f"trust.sampling:{fault.replace(' ', '_at ')}"])
        wanted = 3 if fault.startswith("full") else 128 + signal.SIGTERM
        expect(status == wanted, f"status {status}, not {wanted}: {said}")
        expect("000000004.npz" in said if wanted == 3 else "the same command draws the others" in said, said)
    kept = _kept(out)
    _drawn.clear()
    status, said = _sample(run, out, ["trust.sampling:counted"])
    expect(status == 0, f"cannot go on: {status} {said}")
    again = sorted(set(_drawn) & kept)
    expect(not again and len(_drawn) + len(kept) in (0, ROWS // BATCH), f"drawn again: {again}; {_drawn}, {kept}")
    made = _digests(out)
    names = sorted(made.keys() ^ whole.keys())
    expect(not names, f"files: {names}")
    expect(made == whole, f"other bytes: {[name for name in made if made[name] != whole[name]]}")


@cache
def _whole() -> tuple[Path, dict[str, str]]:
    """A run, and the files of its samples when nothing disturbs them."""
    folder = Path(mkdtemp(prefix="diffkit-trust-sampling-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    run = small.run_folder(folder / "run", "class", "moons")
    status, said = _sample(run, folder / "whole")
    assert status == 0, said
    return run, _digests(folder / "whole")


def _sample(run: Path, out: Path, inject: Sequence[str] = ()) -> tuple[int, str]:
    """Draw in this process; the status that the command would have, and its error."""
    from diffkit import DiffkitError
    from diffkit.run.sample import sample

    cfg = deepcopy(_composed(run))
    cfg.out = str(out)
    with injected(*inject):
        try:
            sample(cfg)
        except DiffkitError as error:
            return error.status, str(error)
    return 0, ""


@cache
def _composed(run: Path) -> DictConfig:
    from diffkit import compose

    return compose([f"run={run}", "out=elsewhere", *CHOICES, *DEVICES], "sample")


def _digests(out: Path) -> dict[str, str]:
    return {str(f.relative_to(out)): sha256(f.read_bytes()).hexdigest() for f in out.rglob("*") if f.is_file()}


def _kept(out: Path) -> set[int]:
    """The first ids of the batches that are there; every file under a final name is whole."""
    for path in out.rglob("*"):
        if path.suffix == ".npz" and path.name[0] != ".":
            try:
                with path.open("rb") as raw, np.load(raw) as file:
                    dict(file)
            except Exception as error:
                expect(False, f"{path.name} is half a file: {error}")
        if path.suffix in (".png", ".gif") and path.name[0] != ".":
            with Image.open(path) as picture:
                picture.load()
    return {int(path.stem) for path in out.glob("unfinished/*/0*.npz")}


def counted(patch):  # type: ignore[no-untyped-def]
    """Note which batches are drawn."""
    from diffkit.run.predictor import Predictor

    real = Predictor.predict_step

    def step(self, batch, index):  # type: ignore[no-untyped-def]
        _drawn.append(int(batch["id"][0]))
        return real(self, batch, index)

    patch.setattr(Predictor, "predict_step", step)


def _at(patch, number, act):  # type: ignore[no-untyped-def]
    """Act when half of the n-th file of arrays is written."""
    from diffkit.run import shards

    real, writes = np.savez, 0

    def savez(file, **columns):  # type: ignore[no-untyped-def]
        nonlocal writes
        writes += 1
        real(file, **columns)
        if writes == int(number):
            file.flush()
            os.truncate(file.name, os.path.getsize(file.name) // 2)
            act()

    patch.setattr(shards.np, "savez", savez)


def killed_at(patch, number):  # type: ignore[no-untyped-def]
    """The process is killed in the middle of a file."""
    _at(patch, number, lambda: os.kill(os.getpid(), signal.SIGKILL))


def stopped_at(patch, number):  # type: ignore[no-untyped-def]
    """The process is asked to stop in the middle of a file."""
    _at(patch, number, lambda: os.kill(os.getpid(), signal.SIGTERM))


def full_at(patch, number):  # type: ignore[no-untyped-def]
    """The disk is full in the middle of a file."""

    def full():  # type: ignore[no-untyped-def]
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    _at(patch, number, full)


@mutation("arrays are written onto their final names", "R2", said="is half a file", trials=(0,))
def in_place(patch):  # type: ignore[no-untyped-def]
    from diffkit.run import shards

    def write(path, columns):  # type: ignore[no-untyped-def]
        with path.open("wb") as file:
            np.savez(file, **columns)

    patch.setattr(shards, "write_npz", write)


@mutation("what a killed process was writing stays", "R2", said="files: ['.samples.npz-", trials=(0,))
def left_behind(patch):  # type: ignore[no-untyped-def]
    from diffkit.run import sample

    patch.setattr(sample, "remove_partial", lambda folder: None)
