"""Stopping when asked to: the update in progress is finished, then saved, then the run ends."""

from signal import SIGTERM
from typing import Any

from lightning import Callback, LightningModule, Trainer

from diffkit.run.checkpoint import Checkpoints
from diffkit.run.module import Task
from diffkit.run.signals import Signals


class Stop(Callback):
    """Turns signals into an orderly end of training; validation is cut short by them, and drawing at once."""

    def __init__(self, signals: Signals) -> None:
        self._signals = signals

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Lightning has put its own handlers in place."""
        storage, launcher = trainer.strategy.checkpoint_io, trainer.strategy.launcher
        if isinstance(storage, Checkpoints):
            self._signals.saving = lambda: storage.busy
        if launcher is not None:
            self._signals.tell = launcher.kill
        self._signals.listen()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """From now on there is something to be finished first; all before, such as encoding the data, can be left."""
        self._signals.orderly = True

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """End the fit after an update if any device was asked to."""
        asked = bool(self._signals.number)
        if trainer.world_size > 1:
            asked = trainer.strategy.reduce_boolean_decision(asked, all=False)
        assert isinstance(pl_module, Task)
        if asked and pl_module.settled:
            self._signals.number = self._signals.number or int(SIGTERM)
            trainer.should_stop = True
            trainer.limit_val_batches = 0  # else Lightning would look at the held-out data first

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, *loader: int
    ) -> None:
        """Leave the rest of the held-out rows out: as after a sanity check, nobody makes anything of the figures."""
        if self._signals.number:
            trainer.should_stop, trainer.sanity_checking = True, True
            raise StopIteration  # ends Lightning's loop over the batches

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """As when training starts."""
        self._signals.listen()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """What follows can be done again."""
        self._signals.orderly = False
