"""Where a run is to be: a folder that this process alone writes in, and the checkpoint it goes on from."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffkit.core.errors import DiffkitError
from diffkit.run import resume, status
from diffkit.run.folder import RunFolder
from diffkit.run.lock import LOCK, locked, rank

VARIABLE = "DIFFKIT_RUN_FOLDER"
"""Tells the processes that Lightning starts for other devices where the run is."""
AUTO = "auto"


@dataclass(frozen=True)
class Place:
    """A run's folder, and where the run goes on, if it does."""

    folder: RunFolder
    point: resume.Point | None

    def finished(self, choices: Mapping[str, Any]) -> int:
        """The updates of a run of these choices that has nothing left to do; else 0.

        Raises `DiffkitError` if it has made more of them than it is asked for.
        """
        made, asked = self.point.checkpoint.step if self.point else 0, choices["trainer"]["max_steps"]
        if 0 <= asked < made:
            raise DiffkitError(
                f"the run {self.folder.path} has made {made} updates, more than trainer.max_steps={asked}: ask for"
                " more, or leave that out"
            )
        found = status.read(self.folder.path) if self.point else None
        if not self.point or not found or found.state != "finished" or found.step != self.point.checkpoint.step:
            return 0
        same = all(self.point.saved.get(key) == value for key, value in choices.items() if key not in ("resume", "out"))
        there = (self.folder.bundle / "model.safetensors").is_file() and self.folder.samples.is_dir()
        return found.step if same and (there or not choices["samples"]) else 0


@contextmanager
def claimed(composed: Mapping[str, Any]) -> Iterator[Place]:
    """The run's folder, held until the end; a new one is given up again if the run does not get as far as its config.

    `resume=auto` means the run in `out`, or a new one there if that has no checkpoint yet. Raises `DiffkitError` if
    another process holds the folder, if it cannot be written, or if something else is in it.
    """
    where, out, auto = composed["resume"], composed["out"], composed["resume"] == AUTO
    if auto and out is None:
        raise DiffkitError("resume=auto needs out=FOLDER: it continues the run in that folder, or starts it there")
    if rank() > 0 and os.environ.get(VARIABLE):
        folder = RunFolder(Path(os.environ[VARIABLE]))
    elif where and not auto:
        folder = RunFolder.resolve(where)
        if out is not None and Path(out).expanduser().resolve() != folder.path.resolve():
            raise DiffkitError(
                f"resume={where} goes on in its own folder: leave out={out} out, or copy the run there and resume that"
            )
    else:
        folder = RunFolder(Path(out).expanduser()) if out is not None else RunFolder.create(composed["name"])
    left = (folder.path / LOCK).exists()  # by a process that was killed, if it turns out that nobody holds it
    with locked(folder.path):
        point = resume.find(folder, required=not auto) if where else None
        if rank() > 0:
            yield Place(folder, point)
        elif point:
            folder.prepare()
            yield Place(folder, point)
        else:
            left = auto and (left or folder.config.is_file())
            _empty(folder, left)
            try:
                yield Place(folder, None)
            except BaseException:
                if not left and not folder.config.exists():
                    folder.discard()
                raise


def _empty(folder: RunFolder, left: bool) -> None:
    """Refuse a folder with anything in it but what a run `left` that was killed before its first checkpoint."""
    if left:
        folder.clear()
    elif any(path.name != LOCK for path in folder.path.iterdir()):
        more = ", or add resume=auto to continue the run in it" if folder.config.is_file() else ", for it holds no run"
        raise DiffkitError(f"out={folder.path} is not empty: choose another folder{more}")
    folder.prepare()
