"""Which rows shards have: their headers are read once, and what they say is kept on disk."""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from io import BufferedReader, BytesIO, FileIO
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from diffkit.core.bad import BadSample
from diffkit.core.errors import DiffkitError
from diffkit.standard.data.shards.headers import ROW, UNREADABLE, Rows, fault, rows_of_tar
from diffkit.standard.data.shards.names import remote
from diffkit.standard.data.shards.store import Store, locked
from diffkit.standard.data.workers import ahead

FORMAT = 2
_SEAL = sha256().digest_size
ALONE = 16
"""How many shards are read before another process is worth its start."""


@dataclass(frozen=True)
class Indexer:
    """Makes the indexes of shards, a file of `folder` for each."""

    store: Store
    folder: Path
    json_caption: str
    json_label: str

    def all(self, shards: Sequence[str], workers: int) -> tuple[Rows, NDArray[np.int64]]:
        """The rows of all shards, one after the other, and where each one's end; mapped into memory.

        A shard that cannot be read has a row that says so. `workers` processes read the headers of those that are new.
        """
        new = [shard for shard in shards if not self._known(shard)]
        made = ahead(self._length, new, min(workers, len(new) // ALONE))
        hidden = len(new) <= ALONE or not sys.stderr.isatty()
        for _ in track(made, "counting rows", len(new), console=Console(stderr=True), transient=True, disable=hidden):
            pass
        ends, digest = np.zeros(len(shards), dtype=np.int64), sha256()
        for number, rows in enumerate(map(self.one, shards)):
            ends[number] = len(rows)
            digest.update(rows.tobytes())
        path = self.folder / f"all-{digest.hexdigest()[:24]}.npy"
        ends = ends.cumsum()
        with locked(path):
            if _mapped(path) is None:
                _write(path, map(self.one, shards), int(ends[-1]))
        found = _mapped(path)
        return (fault(UNREADABLE) if found is None else found), ends

    def one(self, shard: str) -> Rows:
        """The rows of a shard."""
        path = self._path(shard)
        if path is None:
            return fault(UNREADABLE)
        with locked(path):
            found = _mapped(path)
            if found is not None:
                return found
            try:
                with self.store.opened(shard) as descriptor, FileIO(descriptor, closefd=False) as file:
                    rows = rows_of_tar(BufferedReader(file, 1 << 16), self.json_caption, self.json_label)
            except (BadSample, OSError):
                return fault(UNREADABLE)
            _write(path, iter([rows]), len(rows))
            return rows

    def _length(self, shard: str) -> int:
        return len(self.one(shard))

    def _known(self, shard: str) -> bool:
        path = self._path(shard)
        return path is None or path.exists()

    def _path(self, shard: str) -> Path | None:
        """The file for this state of a shard, None if there is none; a remote one is taken to stay as it is."""
        about: dict[str, object] = {"format": FORMAT, "caption": self.json_caption, "label": self.json_label}
        if remote(shard):
            about["shard"] = shard
        else:
            try:
                state = os.stat(shard)
            except OSError:
                return None
            about |= {"shard": os.path.realpath(shard), "size": state.st_size, "mtime": state.st_mtime_ns}
        return self.folder / f"{sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:24]}.npy"


def _mapped(path: Path) -> Rows | None:
    """What was written there, None if it is not there or damaged: its digest follows the array."""
    try:
        with path.open("rb") as file:
            digest, left = sha256(), os.fstat(file.fileno()).st_size - _SEAL
            while left > 0:
                piece = file.read(min(1 << 20, left))
                digest.update(piece)
                left -= len(piece)
            if file.read() != digest.digest():
                return None
        found: Rows = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return None
    return found if found.dtype == ROW else None


def _write(path: Path, parts: Iterator[Rows], rows: int) -> None:
    """Put rows there; raises `DiffkitError` if that cannot be done."""
    half, head, digest = path.with_suffix(".half"), BytesIO(), sha256()
    np.lib.format.write_array_header_1_0(head, {"descr": ROW.descr, "fortran_order": False, "shape": (rows,)})
    try:
        with half.open("wb") as file:
            for piece in chain([head.getvalue()], (part.tobytes() for part in parts)):
                file.write(piece)
                digest.update(piece)
            file.write(digest.digest())
        os.replace(half, path)
    except OSError as error:
        half.unlink(missing_ok=True)
        raise DiffkitError(f"cannot write in {path.parent}: {error.strerror or error}; set DIFFKIT_CACHE") from error
