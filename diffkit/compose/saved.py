"""The choices that a saved run made, as plain data that nothing is trusted to."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffkit.compose.bundles import hint, shipped
from diffkit.compose.plain import read_yaml
from diffkit.core.errors import DiffkitError


@dataclass(frozen=True)
class Choices:
    """What a run or a bundle chose."""

    config: Mapping[str, Any]
    own: bool
    """Whether it may say where on this machine its data are, as a run may, or what an installed plugin ships.

    A bundle alone may be anybody's.
    """


def read_choices(run: str | None) -> Choices | None:
    """The config of the run or bundle at `run` (`last`: `runs/last`; a name: what a plugin ships), or None without one.

    Raises `DiffkitError` if there is none, or if it is more than plain values: what a file says is never interpolated.
    """
    if run is None:
        return None
    named = shipped(run)
    folder = named.folder if named else _folder(run)
    file = next((f for f in (folder / "config.yaml", folder / "bundle" / "config.yaml") if f.is_file()), None)
    if file is None:
        raise DiffkitError(f"run={run}: there is no run here ({folder / 'config.yaml'} does not exist){hint(run)}.")
    beside = in_run(folder) or any((folder / name).is_dir() for name in ("bundle", "checkpoints"))
    return Choices(read_yaml(file), own=named is not None or beside)


def is_run(path: str) -> bool:
    """Whether a run has its config at `path` (`last`: `runs/last`)."""
    return (_folder(path) / "config.yaml").is_file()


def in_run(bundle: Path) -> bool:
    """Whether there is a run about a bundle's folder."""
    return bundle.name == "bundle" and (bundle.parent / "config.yaml").is_file()


def _folder(run: str) -> Path:
    folder = Path(run).expanduser()
    return Path("runs/last") if run == "last" and not folder.exists() else folder
