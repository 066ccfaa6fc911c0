"""Whether the parts of a run fit each other, found before any work."""

import logging
import warnings
from dataclasses import dataclass

import torch
from omegaconf import DictConfig
from torch import nn

from diffkit.compose.build import Parts, assemble, build_model, latent_shape, part
from diffkit.compose.foreign import instantiate
from diffkit.compose.rehearse import rehearse
from diffkit.core.autoencoder import Autoencoder
from diffkit.core.codec import LearnedCodec
from diffkit.core.data import Data
from diffkit.core.errors import DiffkitError
from diffkit.core.grid import Grid
from diffkit.core.model import DiffusionModel
from diffkit.core.types import Shape

AMPLIFICATION = 1000.0
"""A network's error may be this many times as large in x_0 where sampling starts, and not more."""


@dataclass(frozen=True)
class Skeleton:
    """A run's parts, with a model that has shapes and no values."""

    parts: Parts
    latents: Shape


def refuse_misfits(cfg: DictConfig) -> None:
    """Raise `DiffkitError`, which names the pair, for parts that cannot work together, or not on this machine.

    A run that is resumed has its own parts, which did work.
    """
    _refuse_devices(cfg["trainer"])
    if cfg.resume in (None, "auto"):
        skeleton(cfg)


def _refuse_devices(node: DictConfig) -> None:
    """Lightning says itself what strategy needs what devices; it is asked before anything is built for them."""
    usual = {"accelerator": "auto", "devices": "auto", "num_nodes": 1, "strategy": "auto"}
    chosen = {name: node[name] for name, value in usual.items() if node.get(name, value) != value}
    if not chosen:
        return
    logging.disable(logging.INFO)
    try:
        with warnings.catch_warnings(action="ignore"):
            instantiate("trainer", {"_target_": node["_target_"], **chosen}, logger=False, enable_checkpointing=False)
    except DiffkitError as error:
        asked = " ".join(f"trainer.{name}={value}" for name, value in chosen.items())
        raise DiffkitError(f"{asked} cannot be: {' '.join(str(error.__cause__).split())}") from error
    finally:
        logging.disable(logging.NOTSET)


def skeleton(cfg: DictConfig) -> Skeleton:
    """Build a run on the meta device and pass one batch of shapes through it.

    Raises `DiffkitError` for parts that cannot work together.
    """
    data: Data = part("data", cfg["data"], seed=cfg["seed"])
    model = _shapes_only(cfg, data)
    parts = assemble(cfg, data, model)
    refuse_untrained(parts)
    instantiate("optimizer", cfg["optimizer"], params=[nn.Parameter(torch.zeros(1))])  # it checks its own arguments
    rehearse(cfg, parts)
    refuse_start(model, parts.grid)
    return Skeleton(parts, latent_shape(model.codec, data.spec))


def refuse_untrained(parts: Parts) -> None:
    """Raise `DiffkitError` for a codec that has learned nothing, unless it is what learns."""
    codec = parts.model.codec
    if isinstance(codec, LearnedCodec) and not codec.trained and not isinstance(parts.task.model, Autoencoder):
        raise DiffkitError(
            f"The codec {_name(codec)} has learned nothing yet: train one on these data with task=autoencoder, then "
            "choose that run with codec.run=..."
        )


def _shapes_only(cfg: DictConfig, data: Data) -> DiffusionModel:
    """The model on the meta device; on the CPU if some part cannot be built without values."""
    try:
        return build_model(cfg, data.spec, "meta")
    except DiffkitError as error:
        if not isinstance(error.__cause__, NotImplementedError | RuntimeError):
            raise
        return build_model(cfg, data.spec)


def refuse_start(model: DiffusionModel, grid: Grid) -> None:
    """Raise `DiffkitError` if sampling would start where the network's errors grow beyond measure.

    A prediction of the noise divides by alpha, which is 0 at the end of many schedules.
    """
    alpha, sigma = model.schedule(grid(model.schedule)[0])
    factor = model.prediction(alpha, sigma)[1].abs().item()
    if not factor <= AMPLIFICATION:
        raise DiffkitError(
            f"The prediction {_name(model.prediction)} does not suit the schedule {_name(model.schedule)} with the "
            f"grid {_name(grid)}: sampling would start at alpha = {alpha.item():.2g}, where the network's error is "
            f"{factor:.2g} times as large in x_0. Choose another prediction, a schedule that leaves more signal, or a "
            "grid that starts later, such as grid=logsnr."
        )


def _name(part: object) -> str:
    return type(part).__name__
