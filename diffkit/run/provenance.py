"""What made a run: versions, plugins, data. It stands in every saved config under `diffkit`."""

import platform
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from torch import Tensor

import diffkit
from diffkit.compose.formats import CONFIG
from diffkit.compose.recorded import record
from diffkit.core.data import Data

_LIBRARIES = ("torch", "lightning", "hydra-core", "omegaconf", "safetensors", "numpy", "wandb")


def provenance(data: Data, choices: Mapping[str, Any]) -> dict[str, Any]:
    """Versions, plugins with what `choices` uses of each, and the data's spec and fingerprint, as plain values."""
    return {
        "format": CONFIG,
        "version": diffkit.__version__,
        "created": datetime.now().astimezone().isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "libraries": {name: found for name in _LIBRARIES if (found := _version(name))},
        "plugins": record(choices),
        "spec": data.spec.to_dict(),
        "data": fingerprint(data),
    }


def fingerprint(data: Data) -> dict[str, Any]:
    """The number of training rows and a digest of them (of the sample that `reference` gives)."""
    batch, digest = data.reference("train"), sha256()
    for name in sorted(batch):
        column = batch[name]
        digest.update(name.encode())
        if isinstance(column, Tensor):
            digest.update(f"{column.dtype}{tuple(column.shape)}".encode())
            digest.update(column.detach().cpu().contiguous().numpy().tobytes())
        else:
            digest.update(repr(list(column)).encode())
    return {"rows": len(batch["x"]), "sha256": digest.hexdigest()}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
