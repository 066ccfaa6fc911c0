"""Sampling from a saved run: a Lightning predict over rows of id, seed and conditions."""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning import Trainer
from omegaconf import DictConfig, OmegaConf
from PIL.Image import Image

from diffkit.compose.build import build_sampling
from diffkit.compose.foreign import maker
from diffkit.core.cost import Cost
from diffkit.core.data import KNOWN, Drawing
from diffkit.core.errors import DiffkitError
from diffkit.run import films, pictures
from diffkit.run.callbacks import Stop
from diffkit.run.captions import title
from diffkit.run.edit import GIVEN, TO
from diffkit.run.folder import remove_partial, write_yaml
from diffkit.run.generate import Sampling
from diffkit.run.lock import locked
from diffkit.run.logging import record
from diffkit.run.predictor import Predictor, ShardWriter
from diffkit.run.progress import progress
from diffkit.run.prompts import listed
from diffkit.run.quiet import quiet
from diffkit.run.records import Clip, Content, Pictures
from diffkit.run.request import Request, request
from diffkit.run.saved import Saved, open_run
from diffkit.run.shards import Shards, described
from diffkit.run.signals import Signals

SETTINGS = ("n", "seed", "ema", "batch_size", "prompt", "prompts", "label", "negative", "sampler", "grid", "guidance")
EDITS = ("input", "strength", "mask", "repaint", "jump", "invert", "source", "between", "vary", "variation")
_KEPT = "before all samples were drawn; the same command draws the others"
DEFAULT = 64
"""The number of samples where nothing is given to be edited."""
SHOWN, SHOWN_TEXT = 50, 200
"""The entries of a list, and the characters of a text, that `samples.yaml` has where there are over twice as many."""


def sample(cfg: DictConfig) -> Path:
    """`diffkit sample`: write `samples.npz`, `grid.png`, `strip.png` and `film.gif`, and return their folder.

    The folder is `out`, or else `samples/` in the run's. Finished batches wait there until all are done: the same
    command continues after a kill and ends with the same bytes, on any number of devices. With other settings it
    starts afresh. Raises `DiffkitError`, before any work, for a request that does not suit the run.
    """
    asked: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    saved = open_run(asked["run"], asked.get("ema"))
    sampling = Sampling(*build_sampling(asked, saved.spec, saved.model.codec))
    sampling.check(saved.model)
    if asked["n"] is None and asked.get("input") is None and asked.get("between") is None:
        asked["n"] = DEFAULT
    rows = request(saved.model, saved.spec, asked, sampling.guidance)
    sampling = replace(sampling, edit=rows.edit)
    data = saved.drawing()
    out = Path(asked["out"]).expanduser() if asked.get("out") else saved.inside("samples")
    settings = _settings(asked, saved, rows)
    with quiet(), Signals() as signals, signals.stopping(lambda: _KEPT), locked(out):
        remove_partial(out)
        shards = Shards.of(out, settings)
        predictor = Predictor(saved.model, saved.spec, sampling, rows, shards, settings["seed"], settings["batch_size"])
        _predict(predictor, _trainer(asked, out, signals), asked, data, out, settings)
    return out


def _cost(predictor: Predictor) -> Cost:
    """What each sample costs, known before the first is drawn."""
    model = predictor.model
    told = any(key in predictor.rows.columns for key in model.conditioners.keys)
    return predictor.sampling.cost(model, predictor.spec, told)


def _predict(
    predictor: Predictor,
    trainer: Trainer,
    asked: Mapping[str, Any],
    data: Drawing,
    out: Path,
    settings: Mapping[str, Any],
) -> None:
    """Draw what is missing; then the first device puts everything together."""
    price = _cost(predictor)
    if trainer.is_global_zero:
        print(f"{predictor.rows.rows} samples: {price}")
    own: int = sum(predictor.missing(trainer.global_rank, trainer.world_size).values())
    if predictor.missing(0, 1):
        steps = predictor.sampling.steps(predictor.model, predictor.spec)
        with progress(own, steps, trainer.is_global_zero) as predictor.watch:
            trainer.predict(predictor, return_predictions=False)
    trainer.strategy.barrier("all batches are written")
    if trainer.is_global_zero:
        predictor.shards.merge(predictor.batches, out / "samples.npz", described(predictor.spec))
        settings = {**readable(settings), "cost": asdict(price)}
        write_yaml(out / "samples.yaml", settings)
        drawn = _draw(predictor, trainer, data, out)
        _record(asked, drawn, out, settings)
        predictor.shards.drop()
        for name in ("samples.npz", "grid.png", "strip.png", "film.gif"):
            print(out / name)
    trainer.strategy.barrier("all is written")


def _draw(predictor: Predictor, trainer: Trainer, data: Drawing, out: Path) -> dict[str, Image]:
    """The two pictures and the film, which runs where and as the samples were drawn."""
    with np.load(out / "samples.npz") as file:
        x = torch.from_numpy(file["x"])
    grid = pictures.grid(data, x, predictor.rows.columns)
    pictures.save(grid, out / "grid.png")
    predictor.to(trainer.strategy.root_device)
    predictor.on_predict_start()  # where nothing was missing, nothing was predicted
    with trainer.precision_plugin.predict_step_context(), torch.no_grad():
        shown = predictor.film()
    strip = pictures.strip(data, shown)
    pictures.save(strip, out / "strip.png")
    films.save(films.frames(data, shown), out / "film.gif")
    return {"grid": grid, "strip": strip}


def _record(asked: Mapping[str, Any], drawn: Mapping[str, Image], out: Path, settings: Mapping[str, Any]) -> None:
    """Show the pictures to the loggers that were asked for."""
    prompts = list(dict.fromkeys(map(str, listed(asked.get("prompt") or []))))
    caption = title(", ".join(prompts[:8])) if prompts else "samples"
    contents: dict[str, Content] = {name: Pictures([picture], [caption]) for name, picture in drawn.items()}
    contents["film"] = Clip(out / "film.gif", caption)
    record(asked.get("logger") or {}, out, "sample", settings, contents)


def _settings(asked: Mapping[str, Any], saved: Saved, rows: Request) -> dict[str, Any]:
    """Everything that the samples' bytes depend on, as plain values."""
    seed, batch_size = asked["seed"], asked["batch_size"]
    if not isinstance(seed, int) or not isinstance(batch_size, int) or batch_size < 1:
        raise DiffkitError(f"seed={seed} batch_size={batch_size}: give whole numbers, the second 1 or more")
    chosen = {name: asked.get(name) for name in SETTINGS} | {"seed": seed, "batch_size": batch_size}
    if asked.get("prompts"):
        chosen["prompts"] = list(rows.columns["text"])
    edits = {name: asked[name] for name in EDITS if asked.get(name) is not None}
    if edits:
        read = [rows.columns[name] for name in ("x", GIVEN, GIVEN + TO, KNOWN) if name in rows.columns]
        edits["sha256"] = sha256(b"".join(column.numpy().tobytes() for column in read)).hexdigest()
    precision = str((asked.get("trainer") or {}).get("precision", "32-true"))
    return {"run": str(saved.config["diffkit"]["sha256"]), **chosen, **edits, "precision": precision}


def readable(value: Any) -> Any:
    """Settings for a reader: of long texts and lists the beginning, with a digest of the whole."""
    if isinstance(value, Mapping):
        return {name: readable(entry) for name, entry in value.items()}
    if isinstance(value, str) and len(value) > 2 * SHOWN_TEXT:
        return f"{value[:SHOWN_TEXT]}… ({len(value)} characters, sha256 {_digest(value)})"
    if isinstance(value, list):
        more = [f"… and {len(value) - SHOWN} more, sha256 {_digest(value)}"] if len(value) > 2 * SHOWN else []
        return [*map(readable, value[:SHOWN] if more else value), *more]
    return value


def _digest(value: Any) -> str:
    return sha256(json.dumps(value).encode()).hexdigest()[:16]


def _trainer(asked: Mapping[str, Any], out: Path, signals: Signals) -> Trainer:
    """The trainer of the config, which writes nothing but batches."""
    node = asked.get("trainer") or {"_target_": "lightning.pytorch.Trainer"}
    make = maker("trainer", node)
    trainer: Trainer = make(
        callbacks=[ShardWriter(), Stop(signals)],
        logger=False,
        default_root_dir=str(out),
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        inference_mode=False,  # guidance may need gradients
    )
    return trainer
