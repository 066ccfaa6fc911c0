"""A look at the samples on the way."""

from time import perf_counter
from typing import Any

from lightning import Callback, LightningModule, Trainer

from diffkit.core.data import Data
from diffkit.core.model import DiffusionModel
from diffkit.core.types import Batch, Natural
from diffkit.run import pictures
from diffkit.run.folder import RunFolder
from diffkit.run.generate import Sampling, generate
from diffkit.run.module import Task
from diffkit.run.records import Pictures, log


class Preview(Callback):
    """Draws the same few samples every `every` updates (0: never) from the averaged weights.

    The newest picture is `samples/preview.png`; loggers get all of them.
    """

    def __init__(
        self,
        data: Data,
        sampling: Sampling,
        columns: Batch,
        rows: int,
        folder: RunFolder,
        seed: int,
        every: Natural,
    ) -> None:
        self._data, self._sampling, self._columns, self._rows = data, sampling, columns, rows
        self._folder, self._seed, self._every = folder, seed, every
        self._last = 0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Draw, every so often; the end of training has pictures of its own."""
        assert isinstance(pl_module, Task)
        task = pl_module
        due = self._every and task.updates % self._every == 0 and task.updates not in (self._last, trainer.max_steps)
        if not due or not trainer.is_global_zero:
            return
        self._last = task.updates
        task.paused -= perf_counter()
        ids = range(self._rows)
        assert isinstance(task.ema, DiffusionModel)  # of others there is nothing to draw, and `every` is 0
        x = generate(task.ema, self._data.spec, self._sampling, self._columns, ids, self._seed)
        self._folder.samples.mkdir(parents=True, exist_ok=True)
        image = pictures.grid(self._data, x, self._columns)
        pictures.save(image, self._folder.samples / "preview.png")
        log(trainer.loggers, "preview", Pictures([image], [f"after {task.updates} updates"]), task.updates)
        task.paused += perf_counter()
