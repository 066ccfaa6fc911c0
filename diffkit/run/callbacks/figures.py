"""The figures of training: loss, loss by noise level, learning rate, images per second."""

from time import perf_counter
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from diffkit.core.schedule import LOGSNR_LIMIT
from diffkit.core.types import Count
from diffkit.run.module import Task
from diffkit.run.records import Histogram, log

BINS = 20
EDGES = tuple(2 * LOGSNR_LIMIT * i / BINS - LOGSNR_LIMIT for i in range(BINS + 1))


class Figures(Callback):
    """Logs what the last `every` updates were like: means over their rows, on all devices.

    The loss by noise level is the mean loss of the rows whose log-SNR falls into each of 20 bins from -20 to 20, and
    nothing (NaN) where there was none.
    """

    def __init__(self, every: Count = 50) -> None:
        self.every = every
        self._since = 0.0
        self._rows = 0
        self._last = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        assert isinstance(pl_module, Task)
        self._since, self._last = perf_counter() - pl_module.paused, pl_module.updates

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log, every so often."""
        assert isinstance(pl_module, Task)
        if pl_module.updates % self.every or pl_module.updates == self._last:
            return
        self._last = pl_module.updates
        sums, counts = _levels(pl_module)
        sums, counts = _reduce(trainer, sums), _reduce(trainer, counts)
        now, rows = perf_counter() - pl_module.paused, counts.sum().item()
        loss = sums.sum() / counts.sum()
        values = {
            "loss": loss.item(),
            "lr": trainer.optimizers[0].param_groups[0]["lr"],
            "images_per_second": rows / max(now - self._since, 1e-9),
        }
        self._since = now
        if trainer.is_global_zero:
            for logger in trainer.loggers:
                logger.log_metrics(values, step=pl_module.updates)
            means = torch.where(counts > 0, sums / counts.clamp(min=1), torch.nan).tolist()
            log(trainer.loggers, "loss_by_logsnr", Histogram(means, EDGES), pl_module.updates)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock."""
        assert isinstance(pl_module, Task)
        pl_module.paused -= perf_counter()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the loss on held-out data; the time it took does not count as training."""
        assert isinstance(pl_module, Task)
        pl_module.paused += perf_counter()
        found = {name: v.item() for name, v in trainer.callback_metrics.items() if name.startswith("val_")}
        if found and trainer.is_global_zero and not trainer.sanity_checking:
            for logger in trainer.loggers:
                logger.log_metrics(found, step=pl_module.updates)


def _levels(task: Task) -> tuple[Tensor, Tensor]:
    """The sum of the losses of the recent rows in each bin, and their number; the task forgets them."""
    losses = torch.cat([rows for rows, _ in task.recent]).double()
    logsnr = torch.cat([levels for _, levels in task.recent]).to(losses)
    task.recent.clear()
    index = ((logsnr + LOGSNR_LIMIT) / (2 * LOGSNR_LIMIT) * BINS).long().clamp(0, BINS - 1)
    zeros = torch.zeros(BINS, dtype=torch.float64, device=losses.device)
    return zeros.index_add(0, index, losses), zeros.index_add(0, index, torch.ones_like(losses))


def _reduce(trainer: Trainer, values: Tensor) -> Tensor:
    """The sum over all devices, on the CPU."""
    total = trainer.strategy.reduce(values, reduce_op="sum")
    return total.cpu() if isinstance(total, Tensor) else values.cpu()
