"""The jobs of one `-m` command: a folder for each, and what became of them."""

import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import torch
from omegaconf import DictConfig, open_dict

from diffkit.core.errors import DiffkitError, RunFailed


class Sweep:
    """A sweep in the folder `out`, or in a new one `runs/<date>-<time>-sweep`; job i works in `<folder>/<i>`."""

    def __init__(self, verb: str, command: Sequence[str], jobs: int) -> None:
        self._verb, self._command, self._jobs = verb, command, jobs
        self._folder: Path | None = None
        self._results: list[tuple[str, Exception | None]] = []

    @contextmanager
    def job(self, cfg: DictConfig, number: int, overrides: Sequence[str]) -> Iterator[list[str]]:
        """Within it the job runs; gives the command line that is this job alone. Its errors are kept, not raised."""
        folder = self._folder_of(cfg)
        own = {"out": str(folder / str(number))} | ({"group": folder.name} if "group" in cfg else {})
        with open_dict(cfg):
            cfg.update(own)
        varied = [o for o in overrides if o not in self._command] or overrides
        title = f"{own['out']} ({' '.join(varied)})"
        print(f"[{number + 1}/{self._jobs or '?'}] {title}", file=sys.stderr)
        environment = dict(os.environ)
        try:
            yield [*self._bare_command(), *_without(overrides, own), *(f"{k}={v}" for k, v in own.items())]
        except Exception as error:
            if isinstance(error, DiffkitError):
                print(f"Error: {error}", file=sys.stderr)
            else:
                traceback.print_exception(error)
            self._results.append((title, error))
        else:
            self._results.append((title, None))
        finally:
            _forget_devices(environment)

    def finish(self) -> int:
        """Print what became of each job; the exit status is that of the worst."""
        statuses = [_status(error) for _, error in self._results]
        if statuses:
            print(f"{statuses.count(0)} of {len(statuses)} jobs done in {self._folder}", file=sys.stderr)
        for title, error in self._results:
            if error is not None:
                print(f"failed: {title}: {type(error).__name__}", file=sys.stderr)
        return max(statuses, default=0)

    def _folder_of(self, cfg: DictConfig) -> Path:
        if cfg.out is not None:
            self._folder = Path(cfg.out)
        elif self._folder is None:
            self._folder = _new_folder(Path("runs"))
        return self._folder

    def _bare_command(self) -> list[str]:
        """The command without `-m` and without overrides."""
        flags = ("-m", "--multirun")
        return [a for i, a in enumerate(self._command) if i == 0 or not (a in flags or is_override(a))]


def _forget_devices(environment: dict[str, str]) -> None:
    """Undo what a job on several devices leaves in this process, so that the next one starts like the first."""
    os.environ.clear()
    os.environ.update(environment)
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def is_override(argument: str) -> bool:
    """Whether an argument of the command is an override, not a flag or a flag's value."""
    return not argument.startswith("-") and ("=" in argument or argument.startswith("~"))


def _without(overrides: Sequence[str], keys: dict[str, str]) -> list[str]:
    return [o for o in overrides if o.lstrip("+").partition("=")[0] not in keys]


def _status(error: Exception | None) -> int:
    if error is None:
        return 0
    return error.status if isinstance(error, DiffkitError) else RunFailed.status


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
