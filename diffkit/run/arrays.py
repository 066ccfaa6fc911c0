"""Arrays in .npz files, from anybody: no pickles, and no small file that unpacks to a large one."""

import zlib
from pathlib import Path
from struct import error as StructError
from typing import Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile

import numpy as np
from numpy.typing import NDArray

SMALL = 1 << 26
"""The bytes that any file may unpack to."""
PACKED = 100
"""How many times its size a file may unpack to where that is more."""
DAMAGED = (OSError, ValueError, EOFError, BadZipFile, NotImplementedError, RuntimeError, StructError, zlib.error)
"""What numpy and zipfile raise at damaged files."""


def read_npz(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz file by name; raises `ValueError` for any other file, and `OSError`."""
    try:
        with path.open("rb") as raw, ZipFile(raw) as archive:
            _check(archive, path.stat().st_size)
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
    except OSError:
        raise
    except (*DAMAGED, MemoryError) as error:
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from error
    for name, value in found.items():
        if not isinstance(value, np.ndarray):  # numpy gives the bytes of what is none
            raise ValueError(f"its entry {name!r} is no array")
    return found


def read_npy(path: Path) -> NDArray[Any]:
    """The array of an .npy file; raises as `read_npz` does."""
    try:
        loaded = np.load(path, allow_pickle=False)
    except OSError:
        raise
    except (*DAMAGED, MemoryError) as error:
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from error
    if not isinstance(loaded, np.ndarray):
        raise ValueError("it is an archive: call it .npz")
    return loaded


def _check(archive: ZipFile, size: int) -> None:
    unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > max(SMALL, PACKED * size):
        raise ValueError(f"its {size:,} bytes unpack to {unpacked:,}")
    if any(entry.compress_type not in (ZIP_STORED, ZIP_DEFLATED) for entry in archive.infolist()):
        raise ValueError("it is packed in a way that numpy does not")
    if any(entry.comment for entry in archive.infolist()):  # a length that is damaged hides the entries after it
        raise ValueError("it has comments, which numpy does not write")
