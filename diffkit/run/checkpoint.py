"""Checkpoints that survive a crash at any moment, know when they are damaged, and hold plain data alone."""

import os
import shutil
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, BinaryIO
from zipfile import ZipFile

import torch
from lightning.fabric.plugins import CheckpointIO
from torch import Tensor, nn
from xxhash import xxh128

from diffkit.core.errors import DiffkitError, RunFailed
from diffkit.run.readers import postponed

SUFFIX = ".ckpt"
LAST, PREVIOUS = "last.ckpt", "previous.ckpt"
PARTIAL = ".partial.tmp"
"""The one that is being written: a run that was killed leaves one at most, and the next save is over it."""
TRIAL = "trial"
"""The options with which `Checkpoints` saves nothing."""
_MARK = "diffkit {kind} {digest:0>64} step {step:012d}"
_SIZE = len(_MARK.format(kind="xxh128", digest="", step=0))
_DIGESTS: dict[str, Callable[[], Any]] = {"xxh128": xxh128, "sha256": sha256}
"""The digests by their names in the mark: the present one, and the one of the first checkpoints."""
_CHUNK = 1 << 20


class Checkpoints(CheckpointIO):
    """Lightning's way to and from the disk.

    A checkpoint is written beside its place, synced, and moved there in one step; `last.ckpt` becomes `previous.ckpt`
    just before, so that there is a whole one at every moment. Its digest is the comment of the archive that
    `torch.save` writes, so that a file says by itself whether it is whole. Loading builds tensors and plain values
    alone, and so does saving: anything else is refused with its place.
    """

    def __init__(self) -> None:
        self.busy = False
        """Whether it is writing, which a second Ctrl-C should not interrupt."""
        self._saved = False

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint, or with `TRIAL` for options see only whether that could be done.

        Raises `RunFailed` if it cannot be written, and leaves the one before as it was; and as `plain` does.
        """
        content = plain(checkpoint)
        if storage_options == TRIAL:
            return
        path = Path(path)
        temporary = path.with_name(PARTIAL)
        self.busy = True
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with postponed(), temporary.open("wb") as file:
                sealed = _Sealed(file)
                torch.save(content, sealed)  # type: ignore[arg-type]
                sealed.end(int(content.get("global_step", 0)))
            if path.name == LAST and (self._saved or _whole(path)):  # a damaged one must not replace the one before it
                os.replace(path, path.with_name(PREVIOUS))
            os.replace(temporary, path)
            self._saved = self._saved or path.name == LAST
            _sync_folder(path.parent)
        except (OSError, RuntimeError) as error:
            temporary.unlink(missing_ok=True)
            free = shutil.disk_usage(path.parent).free if path.parent.exists() else 0
            told = error if isinstance(error, OSError) else error.__context__  # torch speaks of it in its own words
            cause = (told.strerror if isinstance(told, OSError) else None) or " ".join(str(error).split())[:200]
            raise RunFailed(
                f"cannot write the checkpoint {path}: it needs {_bytes(content):,} bytes, {free:,} are free ({cause});"
                " what was saved before is intact: make room, then resume the run"
            ) from error
        finally:
            self.busy = False

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = True) -> dict[str, Any]:
        """Read a checkpoint onto the CPU; raises `DiffkitError` if it is damaged."""
        return read(Path(path), map_location)

    def remove_checkpoint(self, path: Any) -> None:
        """Remove a checkpoint."""
        Path(path).unlink(missing_ok=True)


@dataclass(frozen=True)
class Found:
    """The newest checkpoint that is whole, and what was passed over on the way to it."""

    path: Path
    step: int
    damaged: tuple[str, ...]


def newest(folder: Path) -> Found:
    """The newest whole checkpoint of a folder; raises `DiffkitError` if there is none."""
    steps = {path.name: step_of(path) for path in sorted(folder.glob(f"*{SUFFIX}"))}
    damaged = []
    # one that does not even say its step comes first, so that it is reported
    for name in sorted(steps, key=lambda name: steps[name] if steps[name] >= 0 else float("inf"), reverse=True):
        try:
            verify(folder / name)
        except DiffkitError as error:
            damaged.append(str(error))
        else:
            return Found(folder / name, steps[name], tuple(damaged))
    why = f"all of them are damaged: {'; '.join(damaged)}" if damaged else "none was written yet"
    raise DiffkitError(f"there is no checkpoint to resume from in {folder}: {why}")


def verify(path: Path) -> int:
    """The step of a whole checkpoint; raises `DiffkitError` if it is not what was written."""
    try:
        with path.open("rb", buffering=0) as file:
            left = max(0, os.fstat(file.fileno()).st_size - _SIZE - 2)
            file.seek(left)
            mark = file.read()
            kind, step = _kind(mark[2:]), _step(mark[2:])
            digest = _DIGESTS[kind]()
            file.seek(0)
            space = memoryview(bytearray(_CHUNK))
            while left and (count := file.readinto(space[: min(left, _CHUNK)])):
                digest.update(space[:count])
                left -= count
    except OSError as error:
        raise DiffkitError(f"cannot read the checkpoint {path}: {error.strerror or error}") from error
    if step < 0 or mark != _mark(kind, digest, step):
        raise DiffkitError(f"the checkpoint {path} is damaged: its content does not have the digest it was saved with")
    return step


def read(path: Path, map_location: Any = None, mapped: bool = False) -> dict[str, Any]:
    """The content of a whole checkpoint, on the CPU by default; `mapped` reads only what is then looked at.

    Raises `DiffkitError` if it is damaged, or holds more than tensors and plain values.
    """
    verify(path)
    try:
        _refuse_packed(path)
        content = torch.load(path, map_location=map_location or "cpu", weights_only=True, mmap=mapped)
    except UnpicklingError as error:
        raise DiffkitError(f"the checkpoint {path} is refused: it holds more than tensors and plain values") from error
    except DiffkitError:
        raise
    except Exception as error:  # a stranger's archive may break its reader in any way
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise DiffkitError(f"the checkpoint {path} cannot be read: {why}") from error
    if not isinstance(content, dict):
        raise DiffkitError(f"{path} is no checkpoint of a run")
    return content


def _refuse_packed(path: Path) -> None:
    """An archive that means more bytes than it has is none of ours: they are not packed, and no two overlap."""
    with ZipFile(path) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > path.stat().st_size:
            raise DiffkitError(f"the checkpoint {path} is refused: it would unpack to more bytes than it has")


def _whole(path: Path) -> bool:
    try:
        return verify(path) >= 0
    except DiffkitError:
        return False


def step_of(path: Path) -> int:
    """The step that a checkpoint's end names, without a look at the rest; -1 if it names none."""
    try:
        with path.open("rb") as file:
            file.seek(-_SIZE, os.SEEK_END)
            return _step(file.read())
    except OSError:
        return -1


def plain(value: Any, where: str = "checkpoint") -> Any:
    """`value` as tensors, numbers, strings, lists, dicts; raises `DiffkitError` naming the place of anything else."""
    if isinstance(value, Tensor):
        if type(value) in (Tensor, nn.Parameter):  # another class would have to be known where it is loaded
            return value
    elif value is None or isinstance(value, (str, int, float, bool)):
        return _base(value)
    elif isinstance(value, dict):
        return {_key(key, where): plain(child, f"{where}.{key}") for key, child in value.items()}
    elif isinstance(value, (list, tuple)):
        children = [plain(child, f"{where}[{i}]") for i, child in enumerate(value)]
        return tuple(children) if isinstance(value, tuple) else children
    raise DiffkitError(
        f"{where} is a {_named(value)}: a checkpoint holds tensors, numbers, text, lists and dicts alone; give those"
        " from state_dict() of the part that it is of, and make the object of them in load_state_dict()"
    )


def _key(key: Any, where: str) -> Any:
    if not isinstance(key, (str, int, float, bool, type(None))):
        raise DiffkitError(
            f"{where} has the key {key!r:.60}, a {_named(key)}: in a checkpoint text or numbers are keys"
        )
    return _base(key)


def _named(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _bytes(content: Any) -> int:
    """The size of all tensors, each of which is written once."""
    found: dict[int, int] = {}

    def look(value: Any) -> None:
        if isinstance(value, Tensor):
            found[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes()
        elif isinstance(value, (Mapping, list, tuple)):
            for child in value.values() if isinstance(value, Mapping) else value:
                look(child)

    look(content)
    return sum(found.values())


def _base(value: Any) -> Any:
    """Without the subclass, as of numpy's numbers or of an enum, which would have to be known where it is loaded."""
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return value


def _mark(kind: str, digest: Any, step: int) -> bytes:
    """The end of a sealed archive, the comment's length and the comment; `digest` of the rest takes in the step."""
    digest.update(str(step).encode())
    return struct.pack("<H", _SIZE) + _MARK.format(kind=kind, digest=digest.hexdigest(), step=step).encode()


def _step(mark: bytes) -> int:
    number = mark[-12:]
    return int(number) if mark.startswith(b"diffkit ") and number.isdigit() else -1


def _kind(mark: bytes) -> str:
    """The digest that a mark names, or the present one."""
    return next((kind for kind in _DIGESTS if mark.startswith(f"diffkit {kind} ".encode())), "xxh128")


class _Sealed:
    """A file for `torch.save` that makes the digest of the archive its comment.

    The digest is against faults, not forgers: XXH3 takes a fifth of the time that `torch.save` does, SHA-256 more than
    all of it. The last two bytes of a zip file count its comment's: they are held back.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._digest, self._held = file, xxh128(), b""

    def write(self, data: Any) -> int:
        """Write bytes, but for the last two."""
        view = memoryview(data).cast("B")
        if len(view) < _CHUNK:
            view = memoryview(self._held + view)
        else:
            self._put(self._held)
        self._put(view[:-2])
        self._held = bytes(view[-2:])
        return len(data)

    def _put(self, data: "bytes | memoryview") -> None:
        self._digest.update(data)
        self._file.write(data)

    def flush(self) -> None:
        """Nothing: `end` does."""

    def end(self, step: int) -> None:
        """Write the comment, and wait until all of it is on the disk."""
        if self._held != b"\0\0":
            raise RuntimeError("torch.save wrote an archive of an unknown form")
        self._file.write(_mark("xxh128", self._digest, step))
        self._file.flush()
        os.fsync(self._file.fileno())


def _sync_folder(path: Path) -> None:
    if os.name == "posix":
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
