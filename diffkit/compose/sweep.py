"""The jobs of one `-m` command: a folder and a process for each, and what became of them."""

import os
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType

from omegaconf import DictConfig

from diffkit.compose.guard import SIGNALS
from diffkit.compose.process import start
from diffkit.core.errors import DiffkitError, RunFailed


@dataclass
class Job:
    """One job: its overrides, those of them that are not the same for all, and its exit status once it has ended."""

    overrides: list[str]
    varied: str
    title: str = ""
    status: int | None = None

    @property
    def state(self) -> str:
        """What became of it, in words."""
        if self.status is None:
            return "not started"
        if self.status < 0:
            return f"killed by {_signal(-self.status)}"
        if self.status > 128:
            return f"stopped by {_signal(self.status - 128)}"
        return {0: "finished", DiffkitError.status: "refused"}.get(self.status, f"failed with status {self.status}")


class Sweep:
    """A sweep in the folder `out`, or in a new one `runs/<date>-<time>-sweep`; job i works in `<folder>/<i>`.

    `command` is the whole command line, and `processes` where those of the jobs come from.
    """

    def __init__(self, command: Sequence[str], processes: BaseContext) -> None:
        self._command, self._processes = list(command), processes
        self._environment = dict(os.environ)
        self._jobs: list[Job] = []
        self._out: str | None = None
        self._grouped = self._resumable = False
        self._signal = 0
        self._process: BaseProcess | None = None

    def add(self, cfg: DictConfig, overrides: Sequence[str]) -> None:
        """Take up a job that has been checked."""
        self._jobs.append(Job(list(overrides), " ".join([o for o in overrides if o not in self._command] or overrides)))
        self._out, self._grouped, self._resumable = cfg.out, "group" in cfg, "resume" in cfg

    def run(self) -> int:
        """Run the jobs one after the other, and say what became of each; the exit status.

        One that fails, or is killed, does not stop the others. A signal stops the job that runs, and the sweep with it.
        """
        folder = Path(self._out) if self._out is not None else _new_folder(Path("runs"))
        with self._passed_on():
            for number, job in enumerate(self._jobs):
                own = {"out": str(folder / str(number))} | ({"group": folder.name} if self._grouped else {})
                job.title = f"{own['out']} ({job.varied})"
                if self._signal:
                    continue
                print(f"[{number + 1}/{len(self._jobs)}] {job.title}", file=sys.stderr, flush=True)
                job.status = self._run(_without(job.overrides, own), own)
        return self._finish(folder)

    def _run(self, overrides: list[str], own: dict[str, str]) -> int:
        command = [*self._bare_command(), *overrides, *(f"{key}={value}" for key, value in own.items())]
        self._process = start(self._processes, command, self._environment)
        if self._signal:  # it came while the process was being made
            self._pass_on()
        self._process.join()
        status, self._process = self._process.exitcode, None
        return RunFailed.status if status is None else status

    def _finish(self, folder: Path) -> int:
        statuses = [job.status for job in self._jobs]
        done, failed = statuses.count(0), {status for status in statuses if status != 0}
        if failed:
            for job in self._jobs:
                print(f"{job.state}: {job.title}", file=sys.stderr)
        print(f"{done} of {len(statuses)} jobs done in {folder}", file=sys.stderr)
        if failed and self._resumable:
            rest = {"out": str(folder), "resume": "auto"}
            words = [Path(self._command[0]).name, *_without(self._command[1:], rest)]
            again = shlex.join([*words, *(f"{key}={value}" for key, value in rest.items())])
            print(f"The others run, or go on, with: {again}", file=sys.stderr)
        if self._signal:
            return 128 + self._signal
        return 0 if not failed else DiffkitError.status if failed == {DiffkitError.status} else RunFailed.status

    @contextmanager
    def _passed_on(self) -> Iterator[None]:
        """Within it a signal that asks to stop is passed on to the job that runs."""
        before = {}
        try:
            for number in SIGNALS:
                if signal.getsignal(number) != signal.SIG_IGN:  # as nohup has it
                    before[number] = signal.signal(number, self._note)
        except ValueError:  # not on the main thread, where nobody can send us signals
            pass
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._signal = number
        self._pass_on()

    def _pass_on(self) -> None:
        if self._process is not None and self._process.pid is not None and self._process.is_alive():
            os.kill(self._process.pid, self._signal)

    def _bare_command(self) -> list[str]:
        """The command without `-m` and without overrides."""
        flags = ("-m", "--multirun")
        return [a for i, a in enumerate(self._command) if i == 0 or not (a in flags or is_override(a))]


def is_override(argument: str) -> bool:
    """Whether an argument of the command is an override, not a flag or a flag's value."""
    return not argument.startswith("-") and ("=" in argument or argument.startswith("~"))


def _without(words: Sequence[str], keys: dict[str, str]) -> list[str]:
    return [o for o in words if o.lstrip("+").partition("=")[0] not in keys]


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _new_folder(root: Path) -> Path:
    """A folder that nobody else has: sweeps that start in the same second get numbers."""
    stem = f"{datetime.now():%Y%m%d-%H%M%S}-sweep"
    for number in range(1, 10_000):
        folder = root / (stem if number == 1 else f"{stem}-{number}")
        try:
            root.mkdir(parents=True, exist_ok=True)
            folder.mkdir()
        except FileExistsError:
            continue
        except OSError as error:
            raise DiffkitError(f"cannot make the folder {folder}: {error.strerror}; choose one with out=...") from error
        return folder
    raise DiffkitError(f"no free name for a sweep beside {root / stem}: clean up that folder")
