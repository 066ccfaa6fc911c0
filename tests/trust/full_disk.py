"""Disks that are full, and folders that cannot be written."""

import ctypes
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import chdir, contextmanager, suppress
from pathlib import Path
from time import process_time

from trust._here import run
from trust.killing import resumable
from trust.mutation import mutation
from trust.row import Missing, Trial, expect, row

WIDE = ("denoiser.width=1060",)
"""Checkpoints of 40 MB."""
AT = 3
"""The update whose checkpoint finds the disk full."""


@row(
    "R3",
    fault="disk full during a save; $TMPDIR on the same and another disk",
    required="previous checkpoint intact and loadable, exit 3 naming the path and bytes needed, temp file removed",
    bare="previous checkpoint destroyed 10/10 where $TMPDIR is elsewhere, 0/10 on the same disk",
    full=3 + 2 * 20,
    small=3,
)
def full_disk(trial: Trial) -> None:
    if trial.number in (1, 2):
        _full_at(trial, ("samples", "bundle")[trial.number - 1])
        return
    wide = () if trial.number == 0 else WIDE
    more = ("callbacks.figures.every=1",) if trial.number % 4 < 2 else ()
    with _disk(trial.folder / "disk", "4m" if not wide else "140m") as disk, chdir(trial.folder):
        with _tmpdir(trial.pick([trial.folder, disk])):
            try:
                status, said = run("out=disk/run", *wide, *more, inject=f"trust.full_disk:hogged {disk}")
            except OSError as error:
                status, said = 3, f"{type(error).__name__}: {error}"
        checkpoints = Path("disk/run/checkpoints")
        resumable(checkpoints.parent, AT - 1)
        expect(status == 3, f"status {status}: {said}")
        for word in (str(checkpoints / "last.ckpt"), "bytes", " are free"):
            expect(word in said, f"{word!r} is not in: {said}")
        names = sorted(file.name for file in checkpoints.iterdir())
        expect(not set(names) - {"last.ckpt", "previous.ckpt", "best.ckpt"}, f"left behind: {names}")
        (disk / "hog").unlink()
        status, said = run("out=disk/run", "resume=auto", *wide, *more)
        expect(status == 0, f"not resumed: status {status}: {said}")


def _full_at(trial: Trial, what: str) -> None:
    """The disk is full before what a continued run writes at its end: that of its first end stays."""
    more = ("samples=2", "preview_every=1")
    with _disk(trial.folder / "disk", "8m") as disk, chdir(trial.folder):
        folder = Path("disk/run")
        status, said = run(f"out={folder}", "trainer.max_steps=2", *more)
        expect(status == 0, said)
        before = {file: file.read_bytes() for file in (folder / what).iterdir()}
        words = ("resume=disk/run", "trainer.max_steps=3")
        try:
            status, said = run(*words, inject=f"trust.full_disk:full_before {disk} {what}")
        except OSError as error:
            status, said = 3, f"{type(error).__name__}: {error}"
        expect(status == 3, f"status {status}: {said}")
        expect(f"cannot write {folder / what}" in said, f"the path is not in: {said}")
        for file, content in before.items():
            expect(file.is_file() and (file.read_bytes() == content), f"{file} was changed")
        left = [file.name for file in folder.rglob(".*") if file.name != ".lock"]
        expect(not left, f"left behind: {left}")
        resumable(folder, 3)
        (disk / "hog").unlink()
        status, said = run(*words)
        expect(status == 0, f"not resumed: status {status}: {said}")


def full_before(patch, disk: str, what: str) -> None:  # type: ignore[no-untyped-def]
    """Another process fills the disk before the bundle, or the samples, are written at the end."""
    from diffkit.run import bundle, closing

    owner, name = {"bundle": (bundle, "save"), "samples": (closing, "draw")}[what]
    write = getattr(owner, name)

    def full(*arguments):  # type: ignore[no-untyped-def]
        _fill(Path(disk), 0)
        return write(*arguments)

    patch.setattr(owner, name, full)


def _fill(disk: Path, room: int) -> None:
    with suppress(OSError), (disk / "hog").open("ab") as file:
        free = os.statvfs(disk)
        os.posix_fallocate(file.fileno(), file.tell(), max(free.f_bavail * free.f_bsize - room, 1))


def hogged(patch, disk: str) -> None:  # type: ignore[no-untyped-def]
    """Another process fills the disk: before a checkpoint is written, and while it is copied; half of one has room."""
    from diffkit.run.callbacks import Saving

    save, send = Saving._save, os.sendfile

    def fill() -> None:
        _fill(Path(disk), next(Path(disk).rglob("last.ckpt")).stat().st_size // 2)

    def full(self, trainer, task, name):  # type: ignore[no-untyped-def]
        if task.updates == AT:
            fill()
            patch.setattr(os, "sendfile", lambda *rest: (fill(), send(*rest))[1])
        save(self, trainer, task, name)

    patch.setattr(Saving, "_save", full)


@row(
    "R4",
    fault="output folder read-only, or no permission",
    required="exit 2 in <= 5 s before the first step",
    bare="10 steps in vain; 30 steps, exit 0",
    full=2 * 3 * 5,
    small=6,
)
def not_writable(trial: Trial) -> None:
    closed = trial.pick([_read_only, _not_ours])
    where = [("out=disk/run",), (), ("resume=disk/old",)][trial.number // 2 % 3]
    with chdir(trial.folder), _disk(trial.folder / "disk", "4m") as disk:
        trial.folder.chmod(0o755)
        status, said = run("out=disk/old", "trainer.max_steps=1")
        expect(status == 0, said)
        with closed(disk), chdir(trial.folder if where else disk):
            begun = process_time()
            status, said = run(*where, inject="trust.full_disk:steps_told")
            seconds = process_time() - begun
        expect("a step" not in said and status == 2, f"status {status}: {said}")
        expect("cannot" in said and ("disk" in said or "runs" in said), said)
        trial.figure("slowest refusal in s of CPU", seconds)
        expect(seconds <= 5, f"refused after {seconds:.1f} s")


def steps_told(patch):  # type: ignore[no-untyped-def]
    """The first step is an error that says so."""
    from diffkit.core.errors import RunFailed
    from diffkit.run.module import Task

    def step(self, *rest):  # type: ignore[no-untyped-def]
        raise RunFailed("a step was made")

    patch.setattr(Task, "training_step", step)


@contextmanager
def _disk(path: Path, size: str) -> Iterator[Path]:
    """A small disk of its own."""
    path.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", path]).returncode:
        raise Missing("needs root and tmpfs")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)


@contextmanager
def _tmpdir(folder: Path) -> Iterator[None]:
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before


@contextmanager
def _read_only(disk: Path) -> Iterator[None]:
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    yield


@contextmanager
def _not_ours(disk: Path) -> Iterator[None]:
    """All on the disk belongs to root, and this process may write what it may by its rights as nobody."""
    os.chmod(disk, 0o755)
    before = ctypes.CDLL(None).setfsuid(65534)
    try:
        yield
    finally:
        ctypes.CDLL(None).setfsuid(before)


@mutation("checkpoints are written by Lightning, by way of $TMPDIR", "R3", said="no valid checkpoint")
def lightnings_writer(patch):  # type: ignore[no-untyped-def]
    from trust.killing import lightnings_writer as write

    write(patch)


@mutation("the bundle is written onto the one before it", "R3", said="was changed")
def written_over(patch):  # type: ignore[no-untyped-def]
    from diffkit.run import bundle

    def write(path, content):  # type: ignore[no-untyped-def]
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)

    patch.setattr(bundle, "write_bytes", write)


@mutation("that nothing can be written is passed over", "R4", said="a step was made")
def unchecked(patch):  # type: ignore[no-untyped-def]
    from contextlib import contextmanager

    from diffkit import DiffkitError
    from diffkit.run import claim, folder

    @contextmanager
    def made(path):  # type: ignore[no-untyped-def]
        with suppress(OSError):
            path.mkdir()
        yield

    patch.setattr(claim, "locked", made)
    patch.setattr(claim, "_empty", lambda folder, left: None)
    write = folder.write_bytes

    def written(path, content):  # type: ignore[no-untyped-def]
        with suppress(DiffkitError):
            write(path, content)

    patch.setattr(folder, "write_bytes", written)
