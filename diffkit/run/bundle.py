"""Bundles: a model to share, as weights and plain data. Loading one never runs code that it brings."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors, save as save_tensors

from diffkit.compose.build import build_model, check_part
from diffkit.compose.bundles import hint, shipped
from diffkit.compose.plain import read_yaml
from diffkit.compose.recorded import require, vouched
from diffkit.compose.registry import registry
from diffkit.core.data import DataSpec
from diffkit.core.errors import DiffkitError
from diffkit.core.model import DiffusionModel, Network
from diffkit.run.fitting import misfits
from diffkit.run.folder import RunFolder, write_bytes, write_yaml
from diffkit.run.module import Task

WEIGHTS = "model.safetensors"
CONFIG = "config.yaml"
MODEL = ("codec", "conditioner", "denoiser", "prediction", "schedule")
"""The kinds of part that a model is made of."""
_LOCAL = ("out", "resume", "trainer", "logger", "callbacks", "optimizer", "group", "tags", "preview_every", "samples")


@dataclass(frozen=True)
class Bundle:
    """A model that is ready to sample, and what is known of it."""

    model: Network
    config: dict[str, Any]
    """The choices that made it, as plain values; `config["diffkit"]` says what made it: versions, plugins, seeds."""
    spec: DataSpec
    """The data it makes."""


def save(folder: Path, model: Network, config: dict[str, Any], spec: DataSpec) -> None:
    """Write `model.safetensors` and `config.yaml` into `folder`.

    Keys of `config` that belong to one machine or one training (paths, trainer, loggers) are left out. The digest of
    the weights stands in the config, so that damage is found. Raises `DiffkitError` if the folder cannot be written.
    """
    state = model.state_dict()
    own = {name: a.detach().cpu().clone(memory_format=torch.contiguous_format) for name, a in state.items()}
    weights = save_tensors(own)
    made = dict(config.get("diffkit", {})) | {"spec": spec.to_dict(), "sha256": sha256(weights).hexdigest()}
    if not isinstance(model, DiffusionModel):
        made["task"] = config["task"]["_part_"]  # which knows what it trained
    shared = {name: value for name, value in config.items() if name not in (*_LOCAL, "diffkit")}
    write_bytes(folder / WEIGHTS, weights)
    write_yaml(folder / CONFIG, shared | {"diffkit": made})


def locate(path: str | Path) -> Path:
    """The bundle's folder at `path`: a run's (`last` is the newest run), the bundle's own, or that of a plugin's name.

    Raises `DiffkitError` if there is none.
    """
    named = shipped(path)
    folder = named.folder if named else Path(path).expanduser()
    if (folder / WEIGHTS).is_file():
        return folder
    try:
        run = RunFolder.resolve(folder if named else path)
    except DiffkitError as error:
        raise DiffkitError(f"{error}{hint(path)}") from error
    if not (run.bundle / WEIGHTS).is_file():
        raise DiffkitError(f"run {run.path} has no bundle yet: it has not finished; continue it with resume={run.path}")
    return run.bundle


def load(path: str | Path) -> Bundle:
    """The bundle in a run's folder, in a folder of its own, or of the name that a plugin gave it.

    Nothing in it is trusted: the weights are checked against their digest, the parts are found by registered name,
    names and shapes of tensors must fit. Raises `DiffkitError` otherwise, and for a plugin that is missing; warns of
    one of another version or source than the model was made with.
    """
    folder, named = locate(path), shipped(path)
    config = read_yaml(folder / CONFIG)
    config = vouched(config, named.plugin) if named else config
    made = config.get("diffkit")
    if not isinstance(made, dict) or not isinstance(made.get("spec"), dict):
        raise DiffkitError(f"{folder / CONFIG} is not the config of a bundle: its 'diffkit' section is missing")
    try:
        spec = DataSpec.from_dict(made["spec"])
    except TypeError as error:
        raise DiffkitError(f"{folder / CONFIG} is damaged at 'diffkit.spec': {error}") from error
    lacking = [kind for kind in MODEL if not config.get(kind) and kind != "conditioner"]
    if lacking:
        raise DiffkitError(f"{folder / CONFIG} is damaged: it does not say its {', '.join(lacking)}")
    weights = read_weights(folder / WEIGHTS, str(made.get("sha256")))
    config = require(config, [*MODEL, "task"] if "task" in made else MODEL)
    try:
        model = _built(config, made, spec, weights, folder)
    except DiffkitError:
        raise
    except Exception as error:  # a config that is damaged may lead anywhere
        why = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise DiffkitError(f"{folder / CONFIG} is damaged: no model can be built of it ({why})") from error
    return Bundle(model.eval().requires_grad_(False), config, spec)


def _built(
    config: dict[str, Any], made: dict[str, Any], spec: DataSpec, weights: dict[str, torch.Tensor], folder: Path
) -> Network:
    """The model with its weights."""
    with torch.device("cpu"):  # even where it is a part of a model that is built without values
        if "task" not in made:  # sizes may be anything: they are held against the weights before memory is asked for
            _check(build_model(config, spec, "meta"), weights, folder)
        built = build_model(config, spec)
        model = _trained(made["task"], config.get("task"), built, spec) if "task" in made else built
    _fill(model, weights, folder)
    return model


def read_weights(path: Path, digest: str) -> dict[str, torch.Tensor]:
    """The tensors of a file; raises `DiffkitError` if it cannot be read, or does not have the digest."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DiffkitError(f"cannot read {path}: {error.strerror or error}") from error
    if sha256(content).hexdigest() != digest:
        raise DiffkitError(f"{path} is damaged: it does not have the digest that its config names; copy it again")
    try:
        return load_tensors(content)
    except SafetensorError as error:
        raise DiffkitError(f"{path} is damaged: {error}") from error


def _trained(name: object, node: object, model: DiffusionModel, spec: DataSpec) -> Network:
    """What a task made of the model, by its hyperparameters; raises `DiffkitError` for a task that is not installed."""
    keys = check_part("task", "task", {**(node if isinstance(node, Mapping) else {}), "_part_": str(name)})
    task: type[Task] = registry().load("task", keys.pop("_part_"))
    return task.trained(model, spec, keys)


def _fill(model: Network, weights: dict[str, torch.Tensor], folder: Path) -> None:
    """Load weights that fit exactly, or nothing."""
    _check(model, weights, folder)
    model.load_state_dict(weights)


def _check(model: Network, weights: dict[str, torch.Tensor], folder: Path) -> None:
    faults = misfits(model.state_dict(), weights)
    if faults:
        raise DiffkitError(
            f"the weights in {folder} do not fit the parts that its config names ({faults}):"
            " a plugin may have another version here than the one that made it"
        )
