"""A Lightning predict over rows of id, seed and conditions, a batch at a time, each on disk as soon as it is done."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from diffkit.core.data import DataSpec, rows_of
from diffkit.core.model import DiffusionModel
from diffkit.core.types import Batch
from diffkit.run import pictures
from diffkit.run.generate import Film, Sampling, Watch, film, generate
from diffkit.run.request import Request
from diffkit.run.shards import Shards, as_array


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

    def on_predict_start(self) -> None:
        """Fit the grid, where it is of that kind, now that the model is on its device."""
        self.sampling = self.sampling.fitted(self.model, self.spec)

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
        columns = {name: as_array(column) for name, column in batch.items()}
        pl_module.shards.write(int(columns["id"][0]), {**columns, "x": outputs.numpy()})
