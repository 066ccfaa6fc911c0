"""A look at the samples on the way."""

from contextlib import suppress
from time import perf_counter
from typing import TYPE_CHECKING, Any

from lightning import Callback, LightningModule, Trainer

from diffkit.core.data import Data
from diffkit.core.model import DiffusionModel
from diffkit.core.sampler import State
from diffkit.core.types import Batch, Natural
from diffkit.run import pictures
from diffkit.run.folder import RunFolder
from diffkit.run.generate import Sampling, generate
from diffkit.run.module import Task
from diffkit.run.records import Pictures, log
from diffkit.run.signals import Interrupt, Signals

if TYPE_CHECKING:
    from PIL.Image import Image


class Preview(Callback):
    """Draws the same few samples every `every` updates (0: never) from the averaged weights.

    The newest picture is `samples/preview.png`; loggers get all of them. Of a task that draws no samples they are
    the pictures that it shows, under its own names.
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
        signals: Signals,
    ) -> None:
        self._data, self._sampling, self._columns, self._rows = data, sampling, columns, rows
        self._folder, self._seed, self._every, self._signals = folder, seed, every, signals
        self._last = 0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Draw, every so often; the end of training has pictures of its own, and a run that is to stop needs none."""
        assert isinstance(pl_module, Task)
        task = pl_module
        due = self._every and task.updates % self._every == 0 and task.updates not in (self._last, trainer.max_steps)
        if not due or not trainer.is_global_zero:
            return
        self._last = task.updates
        task.paused -= perf_counter()
        with suppress(Interrupt):
            for name, image in self._drawn(task).items():
                pictures.save(image, self._folder.samples / f"{name}.png")
                log(trainer.loggers, name, Pictures([image], [f"after {task.updates} updates"]), task.updates)
        task.paused += perf_counter()

    def _drawn(self, task: Task) -> "dict[str, Image]":
        if not isinstance(task.ema, DiffusionModel):
            return task.show(self._data)

        def watch(state: State) -> None:
            self._signals.check()

        spec, ids = self._data.spec, range(self._rows)
        x = generate(task.ema, spec, self._sampling, self._columns, ids, self._seed, watch=watch)
        return {"preview": pictures.grid(self._data, x, self._columns)}
