"""What befalls a run's W&B: its process is ended or stopped, its disk fills, and a clock on the run's steps."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from trust.row import Missing, Trial, expect


def clock(trial: Trial) -> list[float]:
    """When the command began, and its steps ended."""
    file = trial.folder / "stamps"
    return [float(line) for line in file.read_text().splitlines()] if file.exists() else []


def until(done: Any, otherwise: str, seconds: float = 30) -> None:
    """Return once that is so."""
    end = time.monotonic() + seconds
    while not done():
        expect(time.monotonic() < end, otherwise)
        time.sleep(0.02)


@contextmanager
def ended_after(trial: Trial) -> Iterator[None]:
    """W&B's process, which may be stopped, is ended after this."""
    try:
        yield
    finally:
        with suppress(OSError, ValueError):
            os.kill(int((trial.folder / "core").read_text()), signal.SIGKILL)


@contextmanager
def small_disk(trial: Trial, wanted: bool) -> Iterator[None]:
    """A disk of 1 MiB for what W&B writes."""
    place = trial.folder / "disk"
    place.mkdir()
    if wanted:
        mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
        if subprocess.run(mount, capture_output=True).returncode:
            raise Missing("needs a tmpfs for a full disk")
    try:
        yield
    finally:
        if wanted:
            subprocess.run(["umount", "-l", str(place)], check=True)


def clocked(patch, pause="0"):  # type: ignore[no-untyped-def]
    """Write down when each step ends, beside the run."""
    from diffkit.run.callbacks import Figures

    stamps, original = Path("stamps").resolve(), Figures.on_train_batch_end

    def end(self, trainer, pl_module, outputs, batch, batch_idx):  # type: ignore[no-untyped-def]
        original(self, trainer, pl_module, outputs, batch, batch_idx)
        with stamps.open("a") as file:
            print(time.time(), file=file)
        time.sleep(float(pause))

    stamps.write_text(f"{time.time()}\n")
    patch.setattr(Figures, "on_train_batch_end", end)


def impatient(patch):  # type: ignore[no-untyped-def]
    """W&B's server is given up after half a second."""
    from diffkit.run import wandb

    patch.setattr(wandb, "_TIMEOUT", 0.5)


def written_down(patch):  # type: ignore[no-untyped-def]
    """At a kill W&B has what it was given, as it does every 15 seconds: its process is told that the run ends."""
    patch.setattr("trust._tracked.FLUSHED", True)


FLUSHED = False


def fault(patch, what, step):  # type: ignore[no-untyped-def]
    """At a step, once W&B has taken what there was: end or stop its process, fill its disk, or end the run."""
    from diffkit.run.callbacks import Figures
    from diffkit.run.wandb import Wandb

    original = Figures.on_train_batch_end
    if what == "fill":
        begin = Wandb._init

        def elsewhere(self, *args):  # type: ignore[no-untyped-def]
            shutil.move(self._info.folder.wandb, "disk/wandb")
            self._info.folder.wandb.symlink_to(Path("disk/wandb").resolve())
            return begin(self, *args)

        patch.setattr(Wandb, "_init", elsewhere)

    def end(self, trainer, pl_module, outputs, batch, batch_idx):  # type: ignore[no-untyped-def]
        original(self, trainer, pl_module, outputs, batch, batch_idx)
        (ours,) = (logger for logger in trainer.loggers if isinstance(logger, Wandb))
        if pl_module.updates in (1, int(step)):
            until(lambda: ours._run is not None and ours._call._calls.empty(), "W&B did not begin")
        if pl_module.updates == int(step):
            _happen(what, ours)

    patch.setattr(Figures, "on_train_batch_end", end)


def _happen(what: str, ours: Any) -> None:
    from wandb import teardown
    from wandb.sdk.wandb_setup import singleton

    connection = singleton()._connection
    assert connection is not None and connection._proc is not None
    core = connection._proc._process.pid
    Path("core").write_text(str(core))
    if what in ("kill", "stop"):
        os.kill(core, signal.SIGKILL if what == "kill" else signal.SIGSTOP)
    elif what == "fill":
        with Path("disk/hog").open("wb") as file, suppress(OSError):
            file.write(bytes(1 << 21))
    elif what == "interrupt":
        os.kill(os.getpid(), signal.SIGTERM)
    else:
        if FLUSHED:
            teardown(1)  # it waits for W&B's process, which `finish` does not
        with suppress(ProcessLookupError):
            os.kill(core, signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)
