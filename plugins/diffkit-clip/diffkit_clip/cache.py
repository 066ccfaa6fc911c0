"""Tensors on disk that can be computed again: what frozen encoders said, by the digest of all that it depends on."""

import os
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors, save as save_tensors
from torch import Tensor

from diffkit.core import DiffkitWarning
from diffkit_clip.pretrained import digest

_SEAL = "sha256"
"""The tensor that tells whether the others are what was written."""


def folder() -> Path:
    """`$DIFFKIT_CACHE`, else `diffkit` in `$XDG_CACHE_HOME` or `~/.cache`: files in it may be deleted at any time."""
    own, shared = os.environ.get("DIFFKIT_CACHE"), os.environ.get("XDG_CACHE_HOME")
    return Path(own).expanduser() if own else (Path(shared) if shared else Path.home() / ".cache") / "diffkit"


def load(key: str) -> dict[str, Tensor] | None:
    """What was saved under `key`; None where there is nothing, or where it is damaged."""
    try:
        tensors = load_tensors(_file(key).read_bytes())
    except (OSError, SafetensorError):
        return None
    seal = tensors.pop(_SEAL, torch.empty(0, dtype=torch.uint8))
    return tensors if bytes(seal.tolist()) == digest(sorted(tensors.items())) else None


def save(key: str, tensors: Mapping[str, Tensor]) -> None:
    """Keep tensors under `key`, whole or not at all, whoever else does the same; warns where that cannot be done."""
    here = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    seal = torch.tensor(list(digest(sorted(here.items()))), dtype=torch.uint8)
    file = _file(key)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent, prefix=f".{key[:8]}-", delete=False) as temporary:
            try:
                temporary.write(save_tensors({**here, _SEAL: seal}))
                temporary.close()
                os.replace(temporary.name, file)
            except BaseException:
                Path(temporary.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        why = error.strerror or error
        warnings.warn(f"what the encoder said is not kept in {file.parent}: {why}", DiffkitWarning, stacklevel=2)


def _file(key: str) -> Path:
    return folder() / "encoders" / f"{key}.safetensors"
