"""Shards opened where they lie, or fetched first; of those that are fetched only some are kept."""

import fcntl
import os
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from threading import Thread

from diffkit.core.bad import BadSample
from diffkit.core.errors import DiffkitError
from diffkit.standard.data.shards.names import remote

TRIES = 3
"""How often a shard is asked for before it is said to be out of reach ..."""
PAUSE = 1.0
"""... and how many seconds lie between, four times as many before the last."""
STALE = 3600.0
"""After how many seconds what was half fetched is taken to be left by a process that died."""


class Store:
    """Opens shards. Those that lie elsewhere are fetched into `folder`, where the last `keep` that were used stay.

    Any number of processes may share the folder: a shard is fetched by one of them while the others that need it wait.
    Each process holds the last `held` open that it read; one that is deleted meanwhile takes its room until then.
    """

    def __init__(self, folder: Path, keep: int, held: int) -> None:
        self.folder, self.keep, self.held = folder, keep, held
        self._open: OrderedDict[str, int] = OrderedDict()
        self._process = os.getpid()
        self._fetching: Thread | None = None

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_open": OrderedDict(), "_fetching": None}

    def __del__(self) -> None:
        if self._process == os.getpid():
            for descriptor in self._open.values():
                os.close(descriptor)

    def read(self, shard: str, offset: int, size: int) -> bytes:
        """Some bytes of a shard; raises `BadSample` for one that cannot be read."""
        try:
            return os.pread(self._descriptor(shard), size, offset)
        except OSError as error:
            raise BadSample(shard, f"it cannot be read: {error.strerror or error}") from None

    @contextmanager
    def opened(self, shard: str) -> Iterator[int]:
        """A descriptor of a shard's file; raises `BadSample` for one that cannot be had."""
        descriptor = self._fetched(shard) if remote(shard) else _opened(shard)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def fetch_ahead(self, shards: Iterable[str]) -> None:
        """Begin to fetch shards that are needed soon; what fails is said when they are needed."""
        wanted = [shard for shard in shards if remote(shard)]
        if wanted and (self._fetching is None or not self._fetching.is_alive()):
            self._fetching = Thread(target=self._fetch_all, args=(wanted,), daemon=True)
            self._fetching.start()

    def _fetch_all(self, shards: list[str]) -> None:
        for shard in shards:
            with suppress(DiffkitError), self.opened(shard):
                pass

    def _descriptor(self, shard: str) -> int:
        if self._process != os.getpid():  # a worker that was forked: the files are its parent's, too
            self._open, self._process = OrderedDict(), os.getpid()
        if shard not in self._open:
            self._open[shard] = self._fetched(shard) if remote(shard) else _opened(shard)
            while len(self._open) > self.held:
                os.close(self._open.popitem(last=False)[1])
        self._open.move_to_end(shard)
        return self._open[shard]

    def _fetched(self, shard: str) -> int:
        there = self.folder / f"{sha256(shard.encode()).hexdigest()[:24]}.tar"
        with locked(there):
            try:
                os.utime(there)
                return os.open(there, os.O_RDONLY)
            except FileNotFoundError:
                pass
            half = there.with_suffix(".half")
            _fetch(shard, half)
            descriptor = os.open(half, os.O_RDONLY)
            os.replace(half, there)
        self._forget()
        return descriptor

    def _forget(self) -> None:
        """Delete those that were not used for longest."""
        used = sorted((_used(path), path) for path in self.folder.glob("*.tar"))
        for _, path in used[: max(0, len(used) - self.keep)]:
            path.unlink(missing_ok=True)
        for path in self.folder.glob("*.half"):
            if _used(path) < time.time() - STALE:
                path.unlink(missing_ok=True)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Alone among all processes with what is at `path`; raises `DiffkitError` if nothing can be written beside it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise DiffkitError(f"cannot write in {path.parent}: {error.strerror}; set DIFFKIT_CACHE") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _opened(shard: str) -> int:
    try:
        return os.open(shard, os.O_RDONLY)
    except FileNotFoundError:
        raise BadSample(shard, "there is no such file") from None
    except OSError as error:
        raise BadSample(shard, f"it cannot be read: {error.strerror}") from None


def _fetch(shard: str, target: Path) -> None:
    """Copy a shard from where it lies; raises `BadSample` for one that is out of reach."""
    from fsspec.core import url_to_fs

    for attempt in range(TRIES):
        try:
            system, path = url_to_fs(shard)
            system.get_file(path, str(target))
            return
        except FileNotFoundError:
            raise BadSample(shard, "there is no such file") from None
        except ImportError as error:
            raise DiffkitError(f"{shard}: {error}") from error
        except Exception as error:  # of any of the systems that fsspec knows
            target.unlink(missing_ok=True)
            if isinstance(error, ValueError | PermissionError) or attempt + 1 == TRIES:
                raise BadSample(shard, f"it cannot be fetched: {' '.join(str(error).split()) or error!r}") from None
            time.sleep(PAUSE * 4**attempt)


def _used(path: Path) -> float:
    with suppress(FileNotFoundError):
        return path.stat().st_mtime
    return 0.0
