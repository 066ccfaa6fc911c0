"""The numbers of the formats that files are written in: what has a higher one is of a newer diffkit."""

from pathlib import Path

from diffkit.core.errors import DiffkitError

CONFIG = 1
"""Of `config.yaml` of a run and of a bundle, and so of the folders about them: under `diffkit.format`."""
CHECKPOINT = 1
"""Of a checkpoint: under `diffkit.format`."""


def refuse_newer(file: Path, found: object, known: int) -> None:
    """Raise `DiffkitError` for a file whose format has a higher number than this version reads."""
    if isinstance(found, int) and found > known:
        raise DiffkitError(
            f"{file} has format {found}, made by a newer diffkit: this one reads up to {known}; install a newer diffkit"
        )
