"""One process at a time in a folder."""

import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import SoftFileLock, Timeout
from lightning.pytorch.utilities import rank_zero_only

from diffkit.core.errors import DiffkitError
from diffkit.run.links import refuse_links

LOCK = ".lock"
"""The file in a folder that names the process which writes there, and its host."""
_SECONDS = 0.2
"""Enough to take over the lock of a dead process."""
_NAMELESS_SECONDS = 4.0
"""Enough to take over one that was killed before it had written its name; filelock watches such a file for 2 s."""


def rank() -> int:
    """This process's place among those of the run, known before there is a trainer."""
    return int(getattr(rank_zero_only, "rank", 0))


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder, which is made if it is not there; the other devices' processes share the first one's hold.

    A hold of a process of this host that is dead is taken over, whoever inherited its files. Raises `DiffkitError` if
    another process holds the folder, if it cannot be written, or if a link in it leads out.
    """
    if rank() > 0:
        yield
        return
    refuse_links(folder)
    lock = SoftFileLock(folder / LOCK)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _acquire(lock, folder / LOCK)
    except Timeout:
        raise DiffkitError(_refusal(folder)) from None
    except FileExistsError as error:
        raise DiffkitError(f"{folder} is a file: choose a folder") from error
    except OSError as error:
        raise DiffkitError(
            f"cannot write in {folder}: {error.strerror or error}; choose another with out=..."
        ) from error
    try:
        yield
    finally:
        lock.release()


def _acquire(lock: SoftFileLock, file: Path) -> None:
    """Take the lock, also from a process that was killed before it had written its name; raises `Timeout`.

    filelock leaves an empty file alone, and takes over one that stays senseless. A line break makes it that, and
    harms none: it comes last in what was written meanwhile, and first in what is still to be written over it.
    """
    try:
        lock.acquire(timeout=_SECONDS, poll_interval=0.02)
    except Timeout:
        words = _words(file)
        if len(words) > 2:
            raise
        if words == [""]:
            with suppress(OSError), open(os.open(file, os.O_WRONLY | os.O_APPEND), "wb") as there:
                there.write(b"\n")
        lock.acquire(timeout=_NAMELESS_SECONDS, poll_interval=0.02)
    if not lock.is_lock_held_by_us:  # this process slept for so long before it wrote that another one took over
        lock.release()
        raise Timeout(str(file))


def _words(file: Path) -> list[str]:
    """The lines of a lock: the process, its host, and more."""
    try:
        return file.read_text(encoding="ascii").split("\n")
    except (OSError, UnicodeDecodeError):
        return []


def _refusal(folder: Path) -> str:
    """Who holds the folder, and what to do."""
    words = _words(folder / LOCK)
    if len(words) < 2:
        return f"{folder} is locked, by nobody knows whom: if no diffkit runs there, remove {folder / LOCK}"
    host = re.sub(r"\?pidns-.*", "", words[1])  # filelock tells containers of one host apart by it
    do = "" if host == socket.gethostname() else f"; if it is dead, remove {folder / LOCK}"
    return f"{folder} is in use by process {words[0]} on {host}: wait for its end, or choose another folder{do}"
