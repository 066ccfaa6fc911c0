"""What a folder of pictures says by its shape: splits and classes."""

import os
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from diffkit.core.errors import DiffkitError
from diffkit.standard.data.listing import ENDINGS, Listing, Packed, listed, shown
from diffkit.standard.data.stream import Split

HELD_OUT = ("test", "val", "validation")
"""The sub-folders that may hold the test split, beside `train`; the first that is there does."""


@dataclass(frozen=True)
class Tree:
    """The pictures of a folder."""

    files: dict[Split, Packed]
    """Their paths below the folder."""
    class_names: tuple[str, ...]
    """The first sub-folders, in alphabetical order; none where there are less than two."""
    classes: dict[Split, NDArray[np.int32]]
    """The class of each picture; -1 where it is in no sub-folder, or there are no classes."""
    captioned: bool
    """Whether there is a .txt file beside some picture."""


def read_tree(folder: Path, held_out: float) -> Tree:
    """List a folder and part its pictures into splits and classes.

    Raises `DiffkitError` for a folder that is not there, cannot be read, or has less than two pictures.
    """
    if not folder.is_dir():
        raise DiffkitError(f"folder={folder} {'is a file' if folder.exists() else 'does not exist'}: give a folder")
    found = listed(folder)
    splits = _splits(found.pictures, held_out)
    if not all(splits.values()):
        raise DiffkitError(_too_few(folder, found))
    skip = 1 if _held(found.pictures) else 0
    parts = {split: [_first(name.split("/")[skip:]) for name in names] for split, names in splits.items()}
    names = sorted({name for first in parts.values() for name in first} - {""})
    names = names if len(names) > 1 else []
    number = {name: i for i, name in enumerate(names)}
    return Tree(
        {split: Packed(map(os.fsencode, files)) for split, files in splits.items()},
        tuple(map(shown, names)),
        {split: np.array([number.get(name, -1) for name in first], dtype=np.int32) for split, first in parts.items()},
        any(os.path.splitext(name)[0] in found.texts for name in found.pictures),
    )


def _held(pictures: list[str]) -> str | None:
    """The folder of the test split, where there is one, and one called train."""
    top = {name.partition("/")[0] for name in pictures if "/" in name}
    held = [name for name in HELD_OUT if name in top]
    return held[0] if held and "train" in top else None


def _splits(pictures: list[str], share: float) -> dict[Split, list[str]]:
    """By folder, or else a share of the pictures for the test split: which ones depends on their names alone."""
    held = _held(pictures)
    if held is not None:
        return {
            "train": [name for name in pictures if name.startswith("train/")],
            "test": [name for name in pictures if name.startswith(f"{held}/")],
        }
    place = np.array([zlib.crc32(os.fsencode(name)) for name in pictures])
    tested = np.zeros(len(pictures), dtype=bool)
    tested[np.argsort(place, kind="stable")[: max(1, round(share * len(pictures)))]] = True
    return {
        "train": [name for name, test in zip(pictures, tested, strict=True) if not test],
        "test": [name for name, test in zip(pictures, tested, strict=True) if test],
    }


def _first(path: list[str]) -> str:
    return path[0] if len(path) > 1 else ""


def _too_few(folder: Path, found: Listing) -> str:
    there = f"{len(found.pictures)} picture{'s' * (len(found.pictures) != 1)}" if found.pictures else "no picture"
    others = f", and {found.others + len(found.texts)} other files" if found.others or found.texts else ""
    return (
        f"folder={folder} holds {there} ({' '.join(ENDINGS)}, in sub-folders too){others}: give a folder with two or"
        " more for training and one for testing"
    )
