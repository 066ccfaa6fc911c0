"""Presets are data: what a YAML file says reads nothing of this machine, and names nothing that Hydra runs."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra._internal.core_plugins.importlib_resources_config_source import ImportlibResourcesConfigSource
from hydra.plugins.config_source import ConfigResult
from omegaconf import OmegaConf

from diffkit.compose.plain import refuse_bombs
from diffkit.core.errors import DiffkitError

_OWN = ("hydra.conf", "hydra_plugins.")
"""Packages that are installed to tell Hydra what to run."""
_MAY = ("hydra", "hydra.mode", "hydra.sweeper", "hydra.sweeper.params")
"""What a preset may say of Hydra: that it is a sweep, and over what."""
_REFERENCE = re.compile(r"\$\{[\w.\[\]\s]*\}")
"""An interpolation that is the value of another key."""


class PresetFiles(FileConfigSource):
    """Files in a folder."""

    def load_config(self, config_path: str) -> ConfigResult:
        """See `ConfigSource`; raises `DiffkitError` for a file that is more than choices and values."""
        file = Path(self.path, config_path).with_suffix(".yaml")
        if file.is_file():
            refuse_bombs(file.read_bytes(), str(file))
        return _checked(FileConfigSource.load_config(self, config_path), config_path)


class PackagedPresets(ImportlibResourcesConfigSource):
    """Files in an installed package."""

    def load_config(self, config_path: str) -> ConfigResult:
        """See `PresetFiles`."""
        found = ImportlibResourcesConfigSource.load_config(self, config_path)
        return found if self.path.startswith(_OWN) else _checked(found, config_path)


def _checked(found: ConfigResult, config_path: str) -> ConfigResult:
    """What was read, if that is all it is; other sources may move it to any place, so that every key counts."""
    where = f"the preset {config_path.removesuffix('.yaml')} of {found.path.removeprefix('file://')}"
    content: Any = OmegaConf.to_container(found.config, resolve=False)
    if not isinstance(content, Mapping):
        raise DiffkitError(f"{where} is damaged: it should hold keys and values.")
    package = found.header.get("package") or ""
    if f"{config_path}/".startswith("hydra/") or "hydra" in re.split(r"\W", package):
        raise DiffkitError(f"{where} sets Hydra's own keys: give those on the command line.")
    for key, value in _leaves({name: node for name, node in content.items() if name != "defaults"}, ""):
        if key.split(".")[0] == "hydra" and not key.startswith("hydra.sweeper.params.") and key not in _MAY:
            raise DiffkitError(f"{where} sets {key}: give Hydra's own keys on the command line.")
        _refuse_resolver(where, key, value)
    for key, value in _leaves(content.get("defaults") or [], "defaults"):
        if re.search(r"@.*(hydra|\$)", f"{key} {value}"):
            raise DiffkitError(f"{where} puts a file among Hydra's own keys ({key.partition('.')[2]}): leave that out.")
        _refuse_resolver(where, key, value)
    return found


def _leaves(node: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Every value with its dotted key; of what is empty, the key alone."""
    pairs = node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, list) else None
    if not pairs:
        yield place, node
        return
    for key, child in pairs:
        yield from _leaves(child, f"{place}.{key}".lstrip("."))


def _refuse_resolver(where: str, key: str, value: Any) -> None:
    """A file may refer to other keys; a resolver looks at this machine."""
    if isinstance(value, str) and "${" in _REFERENCE.sub("", value):
        raise DiffkitError(
            f"{where} has {key}={value:.60}: a preset may read another key, ${{key}}, and nothing of this machine:"
            f" write the value there, or give {key}=... on the command line."
        )
