"""Reads a W&B run file: a header, then blocks of 32 KiB that hold records in one or several pieces."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wandb.proto.wandb_internal_pb2 import Record

BLOCK, HEADER = 32768, 7
FULL, FIRST, _, LAST = 1, 2, 3, 4


def records(path: Path) -> list[Any]:
    """Every whole record of the file."""
    found = []
    for content in _pieces(path.read_bytes()):
        record = Record()
        record.ParseFromString(content)
        found.append(record)
    return found


def _pieces(data: bytes) -> Iterator[bytes]:
    assert data.startswith(b":W&B")
    place, whole = HEADER, b""
    while place + HEADER <= len(data):
        if BLOCK - place % BLOCK < HEADER:
            place += BLOCK - place % BLOCK
            continue
        _crc, length, kind = struct.unpack("<IHB", data[place : place + HEADER])
        piece = data[place + HEADER : place + HEADER + length]
        if len(piece) < length:  # it is still being written
            return
        place += HEADER + length
        whole = piece if kind in (FULL, FIRST) else whole + piece
        if kind in (FULL, LAST):
            yield whole
