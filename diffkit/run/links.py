"""Links in a run's folder: what is written there stays there."""

import os
from pathlib import Path

from diffkit.core.errors import DiffkitError


def refuse_links(folder: Path) -> None:
    """Raise `DiffkitError` for a link below a folder, which may be anybody's, that leads out of it.

    The folder may be a link itself. W&B's own links, below its folders of one run each, are left alone.
    """
    root = folder.resolve()
    for place, folders, files in os.walk(root):
        for path in (Path(place, name) for name in (*folders, *files)):
            if path.is_symlink() and not path.resolve().is_relative_to(root):
                raise DiffkitError(
                    f"{path} is a link that leads out of {folder}, where diffkit would write: replace it by what it"
                    " leads to, or choose another folder with out=..."
                )
        if Path(place).parent == root / "wandb":
            folders.clear()
