"""What W&B has written of a run into its folder: a part for each time that the run was started."""

import shutil
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_MAGIC = b":W&B"
_BLOCK, _HEADER = 32768, 7
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4


@dataclass(frozen=True)
class Part:
    """One folder of W&B's, `offline-run-<time>-<id>` or `run-<time>-<id>`."""

    path: Path

    @property
    def waits(self) -> bool:
        """Whether it was kept offline, and has not been sent since."""
        return self.path.name.startswith("offline-") and not any(self.path.glob("*.wandb.synced"))

    @property
    def last(self) -> int:
        """The last step that it holds; -1 if it holds none."""
        lines = [record.history for record in self.records() if record.WhichOneof("record_type") == "history"]
        return max((line.step.num for line in lines), default=-1)

    def records(self) -> list[Any]:
        """Every whole record, in order; W&B writes them out every 15 seconds, and when the run ends."""
        from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
        from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined]

        found = []
        for file in self.path.glob("*.wandb"):
            for content in _contents(file.read_bytes()):
                record = Record()
                try:
                    record.ParseFromString(content)
                except DecodeError:
                    break
                found.append(record)
        return found


def parts(folder: Path, identity: str) -> list[Part]:
    """The parts of one W&B run.

    One without a record, as of a run that was killed in its first seconds, is removed: `wandb sync` could not read it,
    and would send none of the others.
    """
    found = [Part(path) for path in sorted(folder.glob(f"*run-*-{identity}"), key=lambda p: p.name.split("run-")[1])]
    for part in found:
        if not part.records():
            shutil.rmtree(part.path, ignore_errors=True)
    return [part for part in found if part.path.exists()]


def _contents(data: bytes) -> Iterator[bytes]:
    """The records of a file: blocks of 32 KiB, in which a record lies whole or in pieces."""
    place, whole = _HEADER, b""
    while data.startswith(_MAGIC) and place + _HEADER <= len(data):
        if _BLOCK - place % _BLOCK < _HEADER:
            place += _BLOCK - place % _BLOCK
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + _HEADER])
        piece = data[place + _HEADER : place + _HEADER + length]
        if len(piece) < length or kind not in (_FULL, _FIRST, _MIDDLE, _LAST):  # cut, or not yet written
            return
        place += _HEADER + length
        whole = piece if kind in (_FULL, _FIRST) else whole + piece
        if kind in (_FULL, _LAST):
            yield whole
