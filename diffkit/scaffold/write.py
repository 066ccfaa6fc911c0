"""Writing a folder as a whole, or not at all."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from diffkit.core.errors import DiffkitError


def write(folder: Path, files: Mapping[str, str]) -> None:
    """Write `files` (paths and texts) into a new or an empty folder.

    They are written beside their place and moved into it. Raises `DiffkitError`, with nothing written, if there is
    something already, or if writing fails.
    """
    try:
        there = folder.is_dir()
        if (there and any(folder.iterdir())) or (not there and os.path.lexists(folder)):
            raise DiffkitError(f"{folder} exists and is not an empty folder: choose another with --out DIR.")
        folder.parent.mkdir(parents=True, exist_ok=True)
        _move_in(folder, files, there)
    except OSError as error:
        raise DiffkitError(f"The plugin cannot be written into {folder}: {error.strerror or error}.") from error


def _move_in(folder: Path, files: Mapping[str, str], there: bool) -> None:
    aside = (folder if there else folder.parent) / f".diffkit-new-{os.getpid()}"
    aside.mkdir()
    try:
        for name, text in files.items():
            path = aside / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
        if there:
            for made in aside.iterdir():
                made.rename(folder / made.name)
        else:
            aside.rename(folder)
    finally:
        if aside.exists():
            shutil.rmtree(aside)
