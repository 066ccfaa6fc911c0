"""The files of a folder, found quickly and kept small: a million names take a second and their own length."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from diffkit.core.errors import DiffkitError

ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
"""Of pictures, in small or capital letters."""


class Packed(Sequence[bytes]):
    """Many short strings in one piece of memory, which processes share as long as nobody writes."""

    def __init__(self, strings: Iterable[bytes]) -> None:
        parts = list(strings)
        self._ends = np.cumsum([0, *map(len, parts)], dtype=np.int64)
        self._content = b"".join(parts)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: int) -> bytes:  # type: ignore[override]
        return self._content[self._ends[index] : self._ends[index + 1]]


@dataclass
class Listing:
    """The paths of files below a folder, with `/` between their parts."""

    pictures: list[str] = field(default_factory=list)
    """In alphabetical order."""
    texts: set[str] = field(default_factory=set)
    """Of files that end in .txt, without that."""
    others: int = 0
    """How many files are neither; hidden ones are not counted."""


def listed(folder: Path) -> Listing:
    """What is in a folder and its sub-folders; links are followed.

    Raises `DiffkitError` if one cannot be read, or is a link to a folder that it is in.
    """
    found = Listing()
    _walk(str(folder), "", found, ())
    found.pictures.sort()
    return found


def _walk(folder: str, prefix: str, found: Listing, above: tuple[str, ...]) -> None:
    real = os.path.realpath(folder)
    if real in above:
        raise DiffkitError(f"{folder} is a link to a folder that it is in: remove it")
    folders = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                name = entry.name
                if name[0] == ".":
                    continue
                stem, ending = os.path.splitext(name)
                ending = ending.lower()
                if _is_folder(entry):
                    folders.append(name)
                elif ending in ENDINGS:
                    found.pictures.append(prefix + name)
                elif ending == ".txt":
                    found.texts.add(prefix + stem)
                else:
                    found.others += 1
    except OSError as error:
        raise DiffkitError(f"the folder {folder} cannot be read: {error.strerror or error}") from error
    for name in folders:
        _walk(os.path.join(folder, name), f"{prefix}{name}/", found, (*above, real))


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def shown(path: str) -> str:
    """A path as it can be printed, also where its bytes are not UTF-8."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
