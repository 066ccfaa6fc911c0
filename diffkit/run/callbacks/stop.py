"""Stopping when asked to: the update in progress is finished, then saved, then the run ends."""

import signal
from types import FrameType
from typing import Any

from lightning import Callback, LightningModule, Trainer

from diffkit.run.module import Task

SIGNALS = tuple(s for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1") if (s := getattr(signal, name, None)))


class Stop(Callback):
    """Turns signals into an orderly end of training: `number` is then that of the signal, else 0.

    A second Ctrl-C interrupts at once. It takes the signals over when training starts, since Lightning's own handler
    for SIGTERM ends a run without a checkpoint, and gives them back when it ends.
    """

    def __init__(self) -> None:
        self.number = 0
        self._before: dict[signal.Signals, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen."""
        try:
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        except ValueError:  # not on the main thread, where nobody can send us signals
            self._before = {}

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """End the fit after an update if any device was asked to."""
        asked = bool(self.number)
        if trainer.world_size > 1:
            asked = trainer.strategy.reduce_boolean_decision(asked, all=False)
        assert isinstance(pl_module, Task)
        if asked and pl_module.settled:
            self.number = self.number or int(signal.SIGTERM)
            trainer.should_stop = True
            trainer.limit_val_batches = 0  # else Lightning would look at the held-out data first

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.number and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.number = self.number or number
