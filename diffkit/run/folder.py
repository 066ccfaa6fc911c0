"""A run's folder: where everything that a run leaves behind is."""

import errno
import os
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from diffkit.compose.plain import read_yaml, sealed
from diffkit.core.errors import DiffkitError, RunFailed

LAST = "last"
_LONGEST = 100
"""The characters of a run's name that its folder has."""
_TEMPORARY = re.compile(r"\..+-\d+")
"""The name of a file that is being written: its own, and the process's number."""


_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class RunFolder:
    """The paths inside one run's folder; nothing is made until something is written."""

    path: Path

    @property
    def config(self) -> Path:
        """The resolved choices, the versions of everything that took part, seeds, the data's fingerprint."""
        return self.path / "config.yaml"

    @property
    def checkpoints(self) -> Path:
        """Lightning's checkpoints, for resuming."""
        return self.path / "checkpoints"

    @property
    def snapshots(self) -> Path:
        """Averages of the weights."""
        return self.path / "snapshots"

    @property
    def bundle(self) -> Path:
        """What to share: weights and config."""
        return self.path / "bundle"

    @property
    def samples(self) -> Path:
        """The final pictures and numbers, and previews made on the way."""
        return self.path / "samples"

    @property
    def metrics(self) -> Path:
        """Every logged figure."""
        return self.path / "metrics.csv"

    @property
    def wandb(self) -> Path:
        """The folder that holds the W&B run."""
        return self.path / "wandb"

    @classmethod
    def create(cls, name: str, root: str | Path = "runs") -> "RunFolder":
        """Make a new folder: `<root>/<date>-<time>-<name>`, with a number where that is taken.

        Two runs never get the same folder, even when they start together. Raises `DiffkitError` if the place cannot
        be written.
        """
        stem = f"{datetime.now():%Y%m%d-%H%M%S}-{_file_name(name)}"
        for number in range(1, 10_000):
            folder = cls(Path(root) / (stem if number == 1 else f"{stem}-{number}"))
            if _mkdir(folder.path):
                return folder
        raise DiffkitError(f"no free name for a run beside {Path(root) / stem}: clean up that folder")

    @classmethod
    def resolve(cls, where: str | Path, root: str | Path = "runs") -> "RunFolder":
        """The run at a path; `last` is the newest one under `root`.

        Raises `DiffkitError` if no run is there, naming those that are near.
        """
        path = Path(where).expanduser()
        if str(where) == LAST and not path.exists():
            path = Path(root) / LAST
        folder = cls(_short(path.resolve()))
        if folder.config.is_file():
            return folder
        found = sorted(p.parent.name for p in Path(root).glob("*/config.yaml") if p.parent.name != LAST)
        known = f"the newest runs in {root}/ are {', '.join(found[-3:])}" if found else f"there is none in {root}/ yet"
        what = "holds no run (no config.yaml)" if path.is_dir() else "is a file" if path.exists() else "does not exist"
        raise DiffkitError(f"run {str(where)!r} {what}: {known}")

    def discard(self) -> None:
        """Remove a folder of a run that did not start, with what its loggers put there."""
        shutil.rmtree(self.path, ignore_errors=True)

    def clear(self) -> None:
        """Remove what a run left here, so that another one can begin."""
        for path in (self.config, self.path / "status.json", self.metrics):
            path.unlink(missing_ok=True)
        for path in (self.checkpoints, self.snapshots, self.samples, self.bundle, self.wandb):
            shutil.rmtree(path, ignore_errors=True)

    def prepare(self) -> None:
        """Make ready for a run to go on, for whoever has the folder to itself: what a killed one left half is removed.

        Raises `DiffkitError` if a run could not write here.
        """
        for path in (self.path, self.checkpoints, self.snapshots, self.bundle, self.samples):
            if path.is_dir():
                _check_writable(path)
                remove_partial(path)
        if self.metrics.exists() and not os.access(self.metrics, os.W_OK):
            raise DiffkitError(f"cannot write {self.metrics}: allow it, or begin a new run elsewhere with out=...")

    def mark_last(self, root: str | Path = "runs") -> None:
        """Point `<root>/last` here, in one step; does nothing where links cannot be made."""
        link = Path(root) / LAST
        temporary = link.with_name(f".{LAST}-{os.getpid()}")
        try:
            link.parent.mkdir(parents=True, exist_ok=True)
            temporary.unlink(missing_ok=True)
            temporary.symlink_to(os.path.relpath(self.path.resolve(), link.parent.resolve()))
            os.replace(temporary, link)
        except OSError:
            temporary.unlink(missing_ok=True)

    def read_config(self) -> dict[str, Any]:
        """The saved config as plain data; raises `DiffkitError` if it is damaged."""
        return read_yaml(self.config)


def _file_name(name: str) -> str:
    """What a run's name is in the name of its folder: plain letters, and not too many."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:_LONGEST].strip(".-") or "run"


def _short(path: Path) -> Path:
    """A path as seen from here, where it lies below."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) and path != here else path


def _mkdir(path: Path) -> bool:
    """Make a folder that was not there; False if it was. The one place that decides who owns a new folder."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir()
    except FileExistsError:
        return False
    except OSError as error:
        raise DiffkitError(f"cannot make the folder {path}: {error.strerror}; choose another with out=...") from error
    return True


def _check_writable(path: Path) -> None:
    probe = path / f".probe-{os.getpid()}"
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise DiffkitError(
            f"cannot write in {path}: {error.strerror}; allow it, or choose another with out="
        ) from error


def write_text(path: Path, text: str) -> None:
    """Write a file so that a reader, or a crash, sees the old content or the new, never a part."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """As `write_text`."""
    temporary = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        failed = RunFailed if error.errno in _FULL else DiffkitError
        raise failed(f"cannot write {path}: {error.strerror or error}") from error


def remove_partial(folder: Path) -> None:
    """Remove the files that a process was writing here when it was killed; for whoever has the folder to itself."""
    for file in folder.iterdir():
        if _TEMPORARY.fullmatch(file.name):
            file.unlink(missing_ok=True)


def write_yaml(path: Path, content: dict[str, Any]) -> None:
    """Write plain values as YAML, in the order given, under a digest that `read_yaml` holds them against."""
    write_text(path, sealed(yaml.dump(content, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=100)))


class _Plain(yaml.SafeDumper):
    """Values that are in two places are written twice: no reader needs to follow an alias."""

    def ignore_aliases(self, data: Any) -> bool:
        """Always."""
        return True
