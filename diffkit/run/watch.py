"""Several devices of one machine: a process that ends, or gets stuck, ends the run, and is named."""

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import TimeoutExpired
from tempfile import mkdtemp
from threading import Event, Thread
from time import monotonic
from typing import Any

import numpy as np
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher

from diffkit.core.errors import DiffkitError, RunFailed
from diffkit.run.signals import Interrupt

VARIABLE = "DIFFKIT_WATCH"
"""Tells the processes of the other devices where all of them say that they are alive."""
TIMEOUT = 1800.0
"""Seconds that one process may keep the others waiting, as torch has it."""
PERIOD = 0.5
"""Seconds between two looks."""
GRACE = 10.0
"""Seconds that a process has to come out of a call that waits for one that is gone."""
ALIVE, MOVED, MARKS = 0, 1, 2


class Watch(Callback):
    """Says how far this process is, and looks after the others, on a thread of its own.

    They meet in a small file that each has in its memory: a row for each process, with the time at which it was last
    alive, the time at which its training last moved, and how often it did.
    """

    def __init__(self, folder: Path, trainer: Trainer, timeout: float, failed: Callable[[str], str]) -> None:
        launcher = trainer.strategy.launcher
        assert isinstance(launcher, _SubprocessScriptLauncher)
        self.verdict = ""
        """Who ended the run, and how."""
        self._folder, self._launcher, self._timeout, self._failed = folder, launcher, timeout, failed
        self._rank, self._parent = trainer.local_rank, os.getppid()
        self._rows = np.memmap(folder / "alive", np.float64, "r+", shape=(launcher.num_processes, 3))
        self._rows[self._rank, ALIVE] = monotonic()
        self._ended = Event()
        self._given_up_at = 0.0
        self._thread = Thread(target=self._look, name="watch", daemon=True)
        self._thread.start()

    def on_train_batch_start(self, *of: Any) -> None:
        """A batch is there."""
        self._mark()

    def on_before_backward(self, *of: Any) -> None:
        """Next, the processes wait for each other."""
        self._mark()

    def on_train_batch_end(self, *of: Any) -> None:
        """An update, or a part of one, is done."""
        self._mark()

    def on_validation_batch_end(self, *of: Any) -> None:
        """Held-out rows take their time too."""
        self._mark()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave word, before the others notice."""
        words = str(exception) if isinstance(exception, DiffkitError) else f"{type(exception).__name__}: {exception}"
        with suppress(OSError):
            _write(self._folder / f"{self._rank}.json", {"time": monotonic(), "text": words})

    def end(self) -> None:
        """Look no more."""
        self._ended.set()
        self._thread.join()

    def cause(self, error: BaseException) -> str:
        """Which other process `error` in this one comes from, and what happened there; nothing if from none."""
        end = monotonic() + (2.0 if isinstance(error, RuntimeError) else 0.0)  # until one that is gone is seen to be
        while not (found := self.verdict or self._word() or self._dead()) and monotonic() < end:
            self._ended.wait(0.05)
        return found

    def _mark(self) -> None:
        self._rows[self._rank, MOVED] = monotonic()
        self._rows[self._rank, MARKS] += 1

    def _look(self) -> None:
        while not self._ended.wait(PERIOD):
            now = monotonic()
            self._rows[self._rank, ALIVE] = now
            if self._rank:
                self._look_after_first(now)
            elif self._given_up_at:
                if now > self._given_up_at:
                    self._leave(self.verdict)
            else:
                self._relieve()
                self.verdict = self._dead() or self._stuck(now)
                if self.verdict:
                    self._given_up_at = now + GRACE
                    self.kill()

    def _look_after_first(self, now: float) -> None:
        """The first process started the others, and ends them; if it cannot, each ends itself."""
        if os.getppid() != self._parent:
            self._leave("rank 0 has ended")
        if now - self._rows[0, ALIVE] > self._timeout + GRACE:
            with suppress(ProcessLookupError):
                os.kill(self._parent, signal.SIGKILL)
            self._leave(f"rank 0 does not run any more: nothing was heard of it for {self._timeout:g} s")

    def _relieve(self) -> None:
        """Take the processes from Lightning's own observer, which kills this one without a word if another ends."""
        mine = self._launcher.procs
        if len(mine) == self._launcher.num_processes - 1:
            self._launcher.procs = [*mine]
            mine.clear()

    def _dead(self) -> str:
        for rank, process in enumerate(self._launcher.procs, 1):
            status = process.poll()
            if status and 0 < status < 128:
                return self._word() or f"rank {rank} ended with status {status}"
            if status and status < 0:
                why = ", as by a machine that is out of memory" if -status == signal.SIGKILL else ""
                return f"rank {rank} was killed by {signal.Signals(-status).name}{why}"
        return ""

    def _stuck(self, now: float) -> str:
        """The processes that do not run; or those that came least far, once none has moved for the time allowed."""
        late = f"for {self._timeout:g} s"
        frozen = [rank for rank, row in enumerate(self._rows) if row[ALIVE] and now - row[ALIVE] > self._timeout]
        if frozen:
            return f"rank {_listed(frozen)} does not run any more: nothing was heard of it {late}"
        if not self._rows[:, MOVED].all() or now - self._rows[:, MOVED].max() <= self._timeout:
            return ""
        least = self._rows[:, MARKS].min()
        behind = [rank for rank, row in enumerate(self._rows) if row[MARKS] == least]
        return f"rank {_listed(behind)} is stuck: the others have waited for it {late}"

    def _word(self) -> str:
        """What the first process that failed left, if that was not this one."""
        words = []
        for rank in range(len(self._rows)):
            with suppress(OSError, ValueError):
                left = json.loads((self._folder / f"{rank}.json").read_text(encoding="utf-8"))
                words.append((left["time"], rank, f"rank {rank} failed: {left['text']}"))
        first = min(words, default=(0.0, self._rank, ""))
        return first[2] if first[1] != self._rank else ""

    def kill(self) -> None:
        """End the processes that this one started."""
        for process in self._launcher.procs:
            process.kill()

    def wait(self) -> None:
        """Let the processes that this one started end, but not forever."""
        for process in self._launcher.procs:
            with suppress(TimeoutExpired):
                process.wait(GRACE)
        self.kill()

    def _leave(self, why: str) -> None:
        """End this process from outside its main thread, which waits for something that will never come."""
        self.kill()
        print(f"Error: {self._failed(why)}", file=sys.stderr, flush=True)
        shutil.rmtree(self._folder, ignore_errors=True)
        os._exit(RunFailed.status)


@contextmanager
def watched(trainer: Trainer, timeout: float, then: str, failed: Callable[[str], object]) -> Iterator[None]:
    """Within it the processes of the run look after each other, where this program has started them.

    Raises `RunFailed` if another one has failed, been killed, or not moved for `timeout` seconds; it says what to do
    `then`. `failed` is told the same where this process has to be ended because it is stuck. What starts the processes
    itself, such as torchrun, looks after them too.
    """
    launcher, told = trainer.strategy.launcher, os.environ.get(VARIABLE)
    if (
        not isinstance(launcher, _SubprocessScriptLauncher)
        or launcher.num_processes < 2
        or not (told or not launcher.cluster_environment.creates_processes_externally)
    ):
        yield
        return
    folder = Path(told or mkdtemp(prefix="diffkit-watch-"))
    if not told:
        (folder / "alive").write_bytes(bytes(8 * 3 * launcher.num_processes))
        os.environ[VARIABLE] = str(folder)

    def noted(why: str) -> str:
        if not told:
            failed(f"{why}; {then}")
        return f"{why}; {then}"

    watch = Watch(folder, trainer, timeout, noted)
    trainer.callbacks.append(watch)  # type: ignore[attr-defined]
    try:
        yield
        if not told:
            watch.wait()
    except Interrupt:
        watch.wait()
        raise
    except BaseException as error:
        why = "" if told else watch.cause(error)
        if why:
            raise RunFailed(f"{why}; {then}") from error
        raise
    finally:
        watch.end()
        watch.kill()
        if not told:
            os.environ.pop(VARIABLE, None)
            shutil.rmtree(folder, ignore_errors=True)


def _listed(ranks: list[int]) -> str:
    return ", ".join(map(str, ranks))


def _write(path: Path, words: dict[str, Any]) -> None:
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(words), encoding="utf-8")
    os.replace(temporary, path)
