"""A progress bar with the loss and images per second."""

from time import perf_counter
from typing import Any

from lightning import Callback, LightningModule, Trainer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress as Bar,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from torch import Tensor

from diffkit.core.types import Positive
from diffkit.run.module import Task


class Progress(Callback):
    """Shows where training is: a bar in a terminal, a plain line now and then elsewhere.

    The bar moves every `refresh` seconds, lines come every `lines` seconds: looking at the loss more often would hold
    the device up.
    """

    def __init__(self, refresh: Positive = 0.5, lines: Positive = 10.0) -> None:
        self._console = Console(stderr=True)
        self._period = refresh if self._console.is_terminal else lines
        self._bar: Bar | None = None
        self._row: Any = None
        self._seen, self._since = 0, 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the bar."""
        assert isinstance(pl_module, Task)
        self._seen, self._since = pl_module.batches, perf_counter() - pl_module.paused
        if not trainer.is_global_zero or not self._console.is_terminal:
            return
        columns = (TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
        times = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
        self._bar = Bar(*columns, *times, console=self._console, auto_refresh=False)
        self._bar.start()
        total = trainer.max_steps if trainer.max_steps > 0 else None
        self._row = self._bar.add_task("", total=total, completed=pl_module.updates)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move on, now and then."""
        assert isinstance(pl_module, Task)
        now = perf_counter() - pl_module.paused
        if now - self._since < self._period or not trainer.is_global_zero:
            return
        rows = len(batch["x"]) * trainer.world_size * (pl_module.batches - self._seen)
        text = f"loss {_loss(outputs):.4f}, {rows / (now - self._since):,.0f} rows/s"
        self._seen, self._since = pl_module.batches, now
        if self._bar is not None:
            self._bar.update(self._row, completed=pl_module.updates, description=text, refresh=True)
        else:
            total = f" of {trainer.max_steps}" if trainer.max_steps > 0 else ""
            self._console.print(f"update {pl_module.updates}{total}: {text}", highlight=False)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            assert isinstance(pl_module, Task)
            self._bar.update(self._row, completed=pl_module.updates, refresh=True)
            self._bar.stop()
            self._bar = None


def _loss(outputs: Any) -> float:
    loss = outputs["loss"] if isinstance(outputs, dict) else outputs
    return loss.item() if isinstance(loss, Tensor) else float("nan")
