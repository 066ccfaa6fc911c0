"""A run that is killed while it saves: nothing is asked of it, and it saves after every update."""

import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import chdir, contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from time import monotonic, sleep

from trust._here import run
from trust.command import start, tiny
from trust.mutation import mutation
from trust.row import Missing, Trial, expect, row

KILLS = 10
"""Of one run, in each trial at random moments."""
WIDE = ("denoiser.width=1060", "task.decay=constant")
"""Checkpoints of 40 MB."""
KEPT = 3
"""The last checkpoint, the one before it, and the best."""


@row(
    "R1",
    fault="SIGKILL while checkpoints are saved (40 MB, after every update), 10 times in a run; $TMPDIR on the same and"
    " another file system",
    required="resume=auto goes on from <= 1 save interval back; newest valid found; 0 unusable",
    bare="0/50 kills, 10/50 where $TMPDIR is elsewhere, lose the newest checkpoint",
    full=2 + 20,
    small=2,
)
def killed_while_saving(trial: Trial) -> None:
    with _temporary(trial) as temporary, chdir(trial.folder):
        if trial.number < 2:
            fault = trial.pick(["in_a_write 3", "before_a_move 5"])
            _killed(trial.folder, temporary, (), f"trust.killing:{fault}", None)
            resumable(Path("run"), 2)
            steps = 8
        else:
            done = 0
            for _ in range(KILLS):
                _killed(trial.folder, temporary, WIDE, "trust.killing:counted", trial.random.uniform(0, 0.8))
                done = max(done, int(Path("done").read_text() or 0))
                if done > 1:
                    resumable(Path("run"), done - 1)
            steps = done + 1
        status, said = run("out=run", "resume=auto", f"trainer.max_steps={steps}", *(WIDE if trial.number > 1 else ()))
        expect(status == 0, f"status {status}: {said}")
        resumable(Path("run"), steps)


@row(
    "C6",
    fault="rotation of checkpoints, also in a run that is killed over and over",
    required="at no moment fewer than 1 valid checkpoint on disk; <= keep + 1 files (keep: last, previous, best)",
    bare="not measured",
    full=1 + 2,
    small=1,
)
def rotation(trial: Trial) -> None:
    with chdir(trial.folder):
        if trial.number == 0:
            with _between_writes(Path("run/checkpoints")) as seen:
                more = ("trainer.val_check_interval=2", "trainer.limit_val_batches=1")
                status, said = run("out=run", "trainer.max_steps=6", *more)
            expect(status == 0, f"status {status}: {said}")
        else:
            with _watched(Path("run/checkpoints")) as seen:
                for _ in range(KILLS):
                    _killed(trial.folder, trial.folder, WIDE, "trust.killing:counted", trial.random.uniform(0, 0.8))
        expect(len(seen) > 20, f"only {len(seen)} looks")
        most = max(files for files, _ in seen)
        trial.figure("most files", most)
        expect(most <= KEPT + 1, f"{most} files")
        valid = [whole for _, whole in seen]
        expect(any(valid) and all(valid[valid.index(True) :]), "no valid checkpoint, after there was one")


def _killed(cwd: Path, temporary: Path, more: tuple[str, ...], fault: str, after: float | None) -> None:
    """Start the run or go on with it until it is killed: by the fault, or this long after its first new update."""
    Path(cwd, "done").write_text("")
    steps = 20 if after is None else 100_000  # one that is not killed ends by itself
    choices = tiny("out=run", "resume=auto", f"trainer.max_steps={steps}", *more)
    with start("train", *choices, cwd=cwd, inject=[fault], env={"TMPDIR": str(temporary)}) as running:
        if after is not None:
            end = monotonic() + 600
            while not Path(cwd, "done").read_text():
                expect(running.wait(0) is None and monotonic() < end, f"it did not go on: {running.said[-1500:]}")
                sleep(0.01)
            sleep(after)
            os.killpg(running.pid, signal.SIGKILL)
        status = running.wait(600)
        expect(status == -signal.SIGKILL, f"status {status}, and not killed: {running.said[-1500:]}")


def resumable(folder: Path, step: int) -> None:
    """The newest checkpoint is whole, loads, and is of this update at least."""
    from diffkit import DiffkitError
    from diffkit.run.checkpoint import Checkpoints, newest

    try:
        found = newest(folder / "checkpoints")
        Checkpoints().load_checkpoint(found.path)
    except DiffkitError as error:
        expect(False, f"no valid checkpoint is left: {error}")
    expect(found.step >= step, f"step {found.step} is left of {step}; {found.damaged}")


@contextmanager
def _temporary(trial: Trial) -> Iterator[Path]:
    """A folder for temporary files: on another file system than the trial's, or on the same."""
    if trial.number % 2:
        yield trial.folder
        return
    other = Path("/dev/shm")
    if not os.access(other, os.W_OK) or other.stat().st_dev == trial.folder.stat().st_dev:
        raise Missing("needs a second file system at /dev/shm")
    with tempfile.TemporaryDirectory(dir=other) as folder:
        yield Path(folder)


def _look(folder: Path) -> tuple[int, bool]:
    """The number of files, and whether one is a valid checkpoint."""
    from diffkit import DiffkitError
    from diffkit.run.checkpoint import verify

    files = list(folder.iterdir()) if folder.is_dir() else []
    for file in sorted(files, reverse=True):  # the previous one first: what is renamed meanwhile becomes it
        with suppress(DiffkitError):
            return len(files), file.suffix == ".ckpt" and verify(file) >= 0
    return len(files), False


@contextmanager
def _watched(folder: Path) -> Iterator[list[tuple[int, bool]]]:
    """Look at the folder all the time; twice, where nothing is found, since it may be renamed just then."""
    seen: list[tuple[int, bool]] = []
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            files, whole = _look(folder)
            seen.append((files, whole or _look(folder)[1]))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


@contextmanager
def _between_writes(folder: Path) -> Iterator[list[tuple[int, bool]]]:
    """Look at the folder before and after everything that a save does to it."""
    import pytest
    import torch

    seen: list[tuple[int, bool]] = []
    save = torch.save
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in ((os, "replace"), (os, "fsync"), (os, "unlink"), (os, "link"), (torch, "save")):

            def looked(*arguments, original=getattr(owner, name), **named):  # type: ignore[no-untyped-def]
                seen.append(_look(folder))
                if original is save and isinstance(arguments[1], Path):
                    arguments[1].write_bytes(b"half")
                    seen.append(_look(folder))
                original(*arguments, **named)
                seen.append(_look(folder))

            patch.setattr(owner, name, looked)
        yield seen


def counted(patch):  # type: ignore[no-untyped-def]
    """Write the number of updates into a file, before each is saved."""
    from diffkit.run.callbacks import Saving

    save = Saving.on_train_batch_end

    def counting(self, trainer, task, *rest):  # type: ignore[no-untyped-def]
        Path("done").write_text(str(task.updates))
        save(self, trainer, task, *rest)

    patch.setattr(Saving, "on_train_batch_end", counting)


def in_a_write(patch, number: str) -> None:  # type: ignore[no-untyped-def]
    """SIGKILL in the middle of writing a checkpoint, or of copying it to its place: the n-th time."""
    import torch

    from diffkit.run.checkpoint import _Sealed

    tempfile.tempdir = None  # the environment's, which is not that of the process that was forked
    left = [int(number)]
    save, send = torch.save, os.sendfile

    def due() -> bool:
        left[0] -= 1
        return left[0] == 0

    def saved(content, file, *rest):  # type: ignore[no-untyped-def]
        if isinstance(file, _Sealed) and due():
            file.write(bytes(1 << 21))
            os.kill(os.getpid(), signal.SIGKILL)
        save(content, file, *rest)
        if isinstance(file, str | Path) and due():
            os.truncate(file, os.path.getsize(file) // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    def sent(out, source, offset, count):  # type: ignore[no-untyped-def]
        if offset == 0 and due():
            send(out, source, 0, os.fstat(source).st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        return send(out, source, offset, count)

    patch.setattr(torch, "save", saved)
    patch.setattr(os, "sendfile", sent)


def before_a_move(patch, number: str) -> None:  # type: ignore[no-untyped-def]
    """SIGKILL before a checkpoint is moved, the n-th time: each save but the first moves two."""
    left = [int(number)]
    replace = os.replace

    def moved(source, target):  # type: ignore[no-untyped-def]
        if str(target).endswith(".ckpt"):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        replace(source, target)

    patch.setattr(os, "replace", moved)


@mutation("checkpoints are written by Lightning, by way of $TMPDIR", "R1", said="no valid checkpoint")
def lightnings_writer(patch):  # type: ignore[no-untyped-def]
    from lightning.fabric.plugins import TorchCheckpointIO

    _writer(patch, TorchCheckpointIO().save_checkpoint)


@mutation("checkpoints are written by torch.save onto their final name", "R1", "C6", said="no valid checkpoint")
def written_in_place(patch):  # type: ignore[no-untyped-def]
    import torch

    _writer(patch, lambda content, path: torch.save(content, path))


def _writer(patch, write):  # type: ignore[no-untyped-def]
    from diffkit.run import checkpoint

    def save(self, content, path, storage_options=None):  # type: ignore[no-untyped-def]
        if storage_options is None:
            Path(path).parent.mkdir(exist_ok=True)
            write(checkpoint.plain(content), Path(path))
            archive = Path(path).read_bytes()[:-2]
            Path(path).write_bytes(archive + checkpoint._mark("sha256", sha256(archive), int(content["global_step"])))

    patch.setattr(checkpoint.Checkpoints, "save_checkpoint", save)
