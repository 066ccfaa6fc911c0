"""Small files that mean much: told as that, at once, and without the memory that they ask for."""

import json
import struct
import time
import zipfile
import zlib
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trust._fork import forked
from trust._formats import refusal, seal
from trust.mutation import mutation
from trust.row import Fault, Trial, expect, row

SECONDS, BYTES = 2.0, 1 << 30
"""What an error may take, beyond what the process has."""
GIANT = 10**9
Bomb = tuple[str, bytes | Callable[[Path], None], Callable[[Path], Any]]


def _yaml(path: Path) -> None:
    from diffkit.compose.plain import read_yaml

    read_yaml(path)


def _checkpoint(path: Path) -> None:
    from diffkit.run.checkpoint import read

    made = read(path)
    task = torch.nn.Linear(2, 2)
    from diffkit.core.errors import DiffkitError
    from diffkit.run.fitting import misfits

    faults = misfits(task.state_dict(), made["state_dict"])
    if faults:
        raise DiffkitError(faults)


def _weights(path: Path) -> None:
    from hashlib import sha256

    from diffkit.run.bundle import read_weights

    read_weights(path, sha256(path.read_bytes()).hexdigest())


def _rows(path: Path) -> None:
    from diffkit.core.data import DataSpec
    from diffkit.run.given import given_rows

    given_rows(str(path), DataSpec((3, 8, 8), low=0.0, high=1.0))


def _mask(path: Path) -> None:
    from diffkit.core.data import DataSpec
    from diffkit.run.given import drawn_mask

    drawn_mask(str(path), DataSpec((3, 8, 8)), 1)


def _pixels(path: Path) -> None:
    from diffkit.core.errors import DiffkitError
    from diffkit.standard.data.pixels import Pictures, Undecodable

    try:
        Pictures(8).decode(path.read_bytes())
    except Undecodable as error:
        raise DiffkitError(str(error)) from error


def _captions(path: Path) -> None:
    from diffkit.standard.data.captions import captions_file

    captions_file(path)


def _snapshot(path: Path) -> None:
    from diffkit.run.snapshots import Snapshots

    Snapshots(path.parent).average(0.1)


def _status(path: Path) -> None:
    from diffkit.run.status import read

    read(path.parent)


def _alias_bomb() -> bytes:
    levels = [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}' if i else 'x'] * 9)}]" for i in range(12)]
    return "\n".join(levels).encode()


def _sealed(write: Callable[[Path], None]) -> Callable[[Path], None]:
    """With a digest that is right: whoever makes a bomb can do that."""

    def made(path: Path) -> None:
        write(path)
        seal(path, 1)

    return made


def _saved(content: Any) -> Callable[[Path], None]:
    return _sealed(lambda path: torch.save(content, path))


def _packed(path: Path) -> None:
    """A checkpoint whose 2 GB of zeros are packed."""
    torch.save({"state_dict": {"w": torch.zeros(4)}}, path)
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            if name.endswith("/data/0"):
                _zeros(archive, name)
            else:
                archive.writestr(name, content)


def _arrays(path: Path) -> None:
    head = {"descr": "<f4", "fortran_order": False, "shape": (GIANT // 2,)}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        _zeros(archive, "x.npy", head)


_MEGABYTES = 2000


def _zeros(archive: zipfile.ZipFile, name: str, head: dict[str, Any] | None = None) -> None:
    """An entry of 2 GB; its packed bytes are made once, and repeated, since a pressed zero takes long to press."""
    with archive.open(name, "w", force_zip64=True) as file:
        if head is not None:
            np.lib.format.write_array_header_1_0(file, head)
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        piece = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
        raw: Any = file
        raw._fileobj.write(raw._compressor.flush(zlib.Z_FULL_FLUSH))
        raw._fileobj.write(piece * _MEGABYTES)
        raw._file_size += _MEGABYTES << 20


def _giant_array(path: Path) -> None:
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (GIANT, 10)})
        file.write(bytes(64))


def _giant_npz(path: Path) -> None:
    _giant_array(path.with_suffix(".npy"))
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(path.with_suffix(".npy"), "x.npy")


def _header(length: int, content: bytes) -> bytes:
    return struct.pack("<Q", length) + content


_SHAPE = json.dumps({"w": {"dtype": "F32", "shape": [GIANT], "data_offsets": [0, 4]}}).encode()
_DEEP_JSON = b"[" * 100_000


def _png(side: int) -> bytes:
    def part(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = part(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + part(b"IDAT", zlib.compress(bytes(9000))) + part(b"IEND", b"")


BOMBS: dict[str, Bomb] = {
    "aliases in YAML": ("config.yaml", _alias_bomb(), _yaml),
    "deep lists in YAML": ("config.yaml", b"a: " + b"[" * 100_000, _yaml),
    "deep blocks in YAML": ("config.yaml", b"- " * 100_000, _yaml),
    "deep keys in YAML": ("config.yaml", b"{a: " * 100_000, _yaml),
    "a long YAML": ("config.yaml", b"a: " + b"x" * (64 << 20), _yaml),
    "a safetensors header of 1 GB": ("model.safetensors", _header(1 << 30, b"{}"), _weights),
    "a safetensors header that is deep": ("model.safetensors", _header(100_000, _DEEP_JSON), _weights),
    "a tensor of 10^9 numbers in safetensors": ("model.safetensors", _header(len(_SHAPE), _SHAPE + bytes(4)), _weights),
    "a snapshot's deep header": ("000000001.safetensors", _header(100_000, _DEEP_JSON), _snapshot),
    "a packed checkpoint": ("last.ckpt", _sealed(_packed), _checkpoint),
    "a tensor of 10^9 numbers in a checkpoint": (
        "last.ckpt", _saved({"state_dict": {"weight": torch.zeros(1).expand(GIANT)}}), _checkpoint,
    ),
    "packed arrays": ("rows.npz", _arrays, _rows),
    "an array of 10^10 numbers": ("mask.npy", _giant_array, _mask),
    "an array of 10^10 numbers in an archive": ("rows.npz", _giant_npz, _rows),
    "a picture of 30000 x 30000": ("rows.png", _png(30_000), _rows),
    "a picture of 12000 x 12000": ("rows.png", _png(12_000), _rows),
    "a picture of 30000 x 30000 among the data": ("a.png", _png(30_000), _pixels),
    "deep lists in captions": ("captions.jsonl", _DEEP_JSON, _captions),
    "deep lists in a status": ("status.json", _DEEP_JSON, _status),
}  # fmt: skip


@row(
    "S7",
    fault="YAML bombs, 10^5-deep nesting, headers of 1 GB, packed zeros, tensors of 10^9 numbers",
    required="an error in 2 s, and 1 GB at most over idle",
    bare="over 20 s",
    full=5 * len(BOMBS),
    small=len(BOMBS),
)
def bomb(trial: Trial) -> None:
    name = trial.pick(list(BOMBS))
    file, content, read = BOMBS[name]
    _loaded()
    path = trial.folder / file
    path.write_bytes(content) if isinstance(content, bytes) else content(path)
    try:
        found = forked(lambda: _measured(lambda: read(path)), SECONDS + 0.4, 3 * BYTES)
    except Fault as fault:
        raise Fault(f"{name}: {fault}") from None
    expect(found["seconds"] <= SECONDS, f"{name}: {found['seconds']:.1f} s")
    expect(found["bytes"] <= BYTES, f"{name}: {found['bytes']:,} bytes")
    trial.figure("slowest refusal in s", found["seconds"])
    trial.figure("most memory in MB", found["bytes"] / 1e6)


@cache
def _loaded() -> None:
    """What the readers import is no part of their time."""
    for module in ("compose.plain", "core.data", "run.bundle", "run.given", "run.snapshots", "run.status"):
        import_module(f"diffkit.{module}")
    for module in ("captions", "pixels"):
        import_module(f"diffkit.standard.data.{module}")


def _measured(read: Callable[[], Any]) -> dict[str, Any]:
    """In a fork: the error that a reader ends with, its seconds, and the bytes that it took."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before, start = _peak(), time.process_time()
    said = refusal(read)
    return {"said": said, "seconds": time.process_time() - start, "bytes": _peak() - before}


def _peak() -> int:
    """The most memory that this process had, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


@mutation("configs are read without limits", "S7", said="YAML: it ended with signal")
def unlimited(patch):  # type: ignore[no-untyped-def]
    from omegaconf import OmegaConf

    from diffkit.compose import plain

    patch.setattr(plain, "refuse_bombs", lambda content, where: OmegaConf.create(content.decode()))
