"""Sampling from a saved run: a Lightning predict over rows of id, seed and conditions."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from diffkit.compose.build import build_sampling
from diffkit.compose.foreign import instantiate
from diffkit.core.data import Data, DataSpec, rows_of
from diffkit.core.errors import DiffkitError
from diffkit.core.model import DiffusionModel
from diffkit.core.types import Batch
from diffkit.run import pictures
from diffkit.run.folder import write_yaml
from diffkit.run.generate import Film, Sampling, Watch, film, generate
from diffkit.run.progress import progress
from diffkit.run.quiet import quiet
from diffkit.run.request import Request, request
from diffkit.run.saved import Saved, open_run
from diffkit.run.shards import Shards

SETTINGS = ("n", "seed", "batch_size", "prompt", "prompts", "label", "negative", "sampler", "grid", "guidance")


def sample(cfg: DictConfig) -> Path:
    """`diffkit sample`: write `samples.npz`, `grid.png` and `strip.png`, and return their folder.

    The folder is `out`, or else `samples/` in the run's. Finished batches wait there until all are done: the same
    command continues after a kill and ends with the same bytes, on any number of devices. With other settings it
    starts afresh. Raises `DiffkitError`, before any work, for a request that does not suit the run.
    """
    asked: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    saved = open_run(asked["run"])
    sampling = Sampling(*build_sampling(asked))
    sampling.grid(saved.model.schedule)  # a grid that does not suit the schedule says so now
    rows = request(saved.model, saved.spec, asked, bool(sampling.guidance))
    data = saved.data()
    out = Path(asked["out"]).expanduser() if asked.get("out") else saved.folder / "samples"
    settings = _settings(asked, saved, rows)
    shards = Shards.of(out, settings)
    predictor = Predictor(saved.model, saved.spec, sampling, rows, shards, settings["seed"], settings["batch_size"])
    with quiet():
        _predict(predictor, asked, data, out, settings)
    return out


def _predict(
    predictor: "Predictor", asked: Mapping[str, Any], data: Data, out: Path, settings: Mapping[str, Any]
) -> None:
    """Draw what is missing; then the first device puts everything together."""
    trainer = _trainer(asked, out)
    own: int = sum(predictor.missing(trainer.global_rank, trainer.world_size).values())
    if predictor.missing(0, 1):
        with progress(own, predictor.sampling.grid.steps, trainer.is_global_zero) as predictor.watch:
            trainer.predict(predictor, return_predictions=False)
    trainer.strategy.barrier("all batches are written")
    if trainer.is_global_zero:
        predictor.shards.merge(predictor.batches, out / "samples.npz")
        write_yaml(out / "samples.yaml", dict(settings))
        _draw(predictor, trainer, data, out)
        predictor.shards.drop()
        for name in ("samples.npz", "grid.png", "strip.png"):
            print(out / name)
    trainer.strategy.barrier("all is written")


class Predictor(LightningModule):
    """Draws the batches of a request: the k-th is the same on any number of devices, and is drawn by one of them."""

    def __init__(
        self,
        model: DiffusionModel,
        spec: DataSpec,
        sampling: Sampling,
        rows: Request,
        shards: Shards,
        seed: int,
        batch_size: int,
    ) -> None:
        super().__init__()
        self.model, self.spec, self.sampling = model, spec, sampling
        self.rows, self.shards, self.seed = rows, shards, seed
        self.watch: Watch | None = None
        self.batches = {first: min(batch_size, rows.rows - first) for first in range(0, rows.rows, batch_size)}
        """The number of samples in each batch, by the id of its first."""

    def missing(self, rank: int, world: int) -> dict[int, int]:
        """One device's batches that are not on disk yet."""
        mine = list(self.batches.items())[rank::world]
        return {first: rows for first, rows in mine if not self.shards.has(first, rows)}

    def predict_dataloader(self) -> "Batches":
        """The rows to draw on this device: columns `id`, `seed`, and the conditions."""
        todo = self.missing(self.trainer.global_rank, self.trainer.world_size)
        return Batches([self._batch(torch.arange(first, first + rows)) for first, rows in todo.items()])

    def _batch(self, index: Tensor) -> Batch:
        return {"id": index, "seed": torch.full_like(index, self.seed), **rows_of(self.rows.columns, index)}

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The batch's samples, in the data's own units."""
        ids = batch["id"].tolist()
        columns = {name: column for name, column in batch.items() if name not in ("id", "seed")}
        negative = self.rows.negative and rows_of(self.rows.negative, batch["id"].cpu())
        return generate(self.model, self.spec, self.sampling, columns, ids, self.seed, negative, len(ids), self.watch)

    def film(self) -> Film:
        """A few of the samples on their way from noise."""
        index = torch.tensor(pictures.stars(self.spec, self.rows.columns, self.rows.rows))
        columns = rows_of(self.rows.columns, index)
        negative = self.rows.negative and rows_of(self.rows.negative, index)
        return film(self.model, self.spec, self.sampling, columns, index.tolist(), self.seed, negative)


@dataclass(frozen=True)
class Batches:
    """A loader of ready batches: Lightning takes a bare list for several loaders."""

    batches: list[Batch]

    def __iter__(self) -> Iterator[Batch]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


class ShardWriter(Callback):
    """Writes each batch as soon as it is done, named by its first id."""

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """The samples beside their ids, seeds and conditions."""
        assert isinstance(pl_module, Predictor)
        columns = {name: _array(column) for name, column in batch.items()}
        pl_module.shards.write(int(columns["id"][0]), {"x": outputs.numpy(), **columns})


def _draw(predictor: Predictor, trainer: Trainer, data: Data, out: Path) -> None:
    """The two pictures; the film runs where and as the samples were drawn."""
    with np.load(out / "samples.npz") as file:
        x = torch.from_numpy(file["x"])
    pictures.save(pictures.grid(data, x, predictor.rows.columns), out / "grid.png")
    predictor.to(trainer.strategy.root_device)
    with trainer.precision_plugin.predict_step_context(), torch.inference_mode():
        shown = predictor.film()
    pictures.save(pictures.strip(data, shown), out / "strip.png")


def _array(column: Any) -> NDArray[Any]:
    """A column as an array that needs no pickle."""
    return column.cpu().numpy() if isinstance(column, Tensor) else np.array(column)


def _settings(asked: Mapping[str, Any], saved: Saved, rows: Request) -> dict[str, Any]:
    """Everything that the samples' bytes depend on, as plain values."""
    seed, batch_size = asked["seed"], asked["batch_size"]
    if not isinstance(seed, int) or not isinstance(batch_size, int) or batch_size < 1:
        raise DiffkitError(f"seed={seed} batch_size={batch_size}: give whole numbers, the second 1 or more")
    chosen = {name: asked.get(name) for name in SETTINGS} | {"seed": seed, "batch_size": batch_size}
    if asked.get("prompts"):
        chosen["prompts"] = list(dict.fromkeys(rows.columns["text"]))
    precision = str((asked.get("trainer") or {}).get("precision", "32-true"))
    return {"run": str(saved.config["diffkit"]["sha256"]), **chosen, "precision": precision}


def _trainer(asked: Mapping[str, Any], out: Path) -> Trainer:
    """The trainer of the config, which writes nothing but batches."""
    node = asked.get("trainer") or {"_target_": "lightning.pytorch.Trainer"}
    loggers = [instantiate(f"logger.{name}", value) for name, value in (asked.get("logger") or {}).items()]
    make = instantiate("trainer", node, _partial_=True)
    trainer: Trainer = make(
        callbacks=[ShardWriter()],
        logger=loggers or False,
        default_root_dir=str(out),
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
    )
    return trainer
