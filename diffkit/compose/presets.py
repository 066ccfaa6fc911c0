"""Where the presets are."""

from pathlib import Path

from diffkit.core.errors import DiffkitError


def config_dir() -> Path:
    """The folder of presets: the package's own where it is installed, else the repository's."""
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "conf", package.parent / "conf"):
        if (folder / "train.yaml").is_file():
            return folder
    raise DiffkitError(f"The presets are missing: there is no folder {package / 'conf'}. Install diffkit again.")
