"""Saving: the newest state, the one before it, and the best."""

import math
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer

from diffkit.core.types import Count
from diffkit.run.checkpoint import TRIAL
from diffkit.run.module import Task


class Saving(Callback):
    """Writes `last.ckpt` every `every` updates and when training ends, and `best.ckpt` at the lowest held-out loss.

    The one before the last stays as `previous.ckpt`, so that there is always a whole one. Weights that are not finite
    are never written.
    """

    def __init__(self, every: Count = 500) -> None:
        self.every = every
        self.best = math.inf
        self._saved = -1

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Go last: what ends training after an update, such as Lightning's timer, has then said so."""
        others = [callback for callback in trainer.callbacks if callback is not self]  # type: ignore[attr-defined]
        trainer.callbacks = [*others, self]  # type: ignore[attr-defined]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A resumed run has its checkpoint already; a state that none could hold is found now, not hours on."""
        assert isinstance(pl_module, Task)
        self._saved = pl_module.updates
        trainer.save_checkpoint("", storage_options=TRIAL)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save every so often, and when the run is about to stop."""
        assert isinstance(pl_module, Task)
        task = pl_module
        due = task.updates % self.every == 0 or trainer.should_stop or task.updates == trainer.max_steps
        if due and task.settled and task.updates != self._saved:
            self._save(trainer, task, "last")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save if this is the best so far; and if a signal has cut it short, since there is no next update to do so."""
        assert isinstance(pl_module, Task)
        if trainer.sanity_checking:
            if trainer.should_stop and pl_module.settled and pl_module.updates != self._saved:
                self._save(trainer, pl_module, "last")
            return
        value = trainer.callback_metrics.get("val_loss")
        if value is not None and value.item() < self.best:
            self.best = value.item()
            self._save(trainer, pl_module, "best")

    def state_dict(self) -> dict[str, Any]:
        """The lowest held-out loss so far."""
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it up again."""
        self.best = float(state_dict["best"])

    def _save(self, trainer: Trainer, task: Task, name: str) -> None:
        check_weights(task)
        path = Path(trainer.default_root_dir) / "checkpoints" / f"{name}.ckpt"
        if name == "last":
            self._saved = task.updates
        trainer.save_checkpoint(path)


def check_weights(task: Task) -> None:
    """Raise `RunFailed` if a weight is NaN or infinite."""
    task.finite.weights(task.updates, [a.detach() for a in (*task.model.parameters(), *task.ema.parameters())])
