"""Averages of the weights whose length is chosen after training."""

from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from diffkit.core.errors import DiffkitError
from diffkit.core.types import Count
from diffkit.run.callbacks.saving import check_weights
from diffkit.run.module import Task
from diffkit.run.power import share
from diffkit.run.snapshots import FOLDER, LENGTHS, Snapshots as Folder


class Snapshots(Callback):
    """Tracks two power-function averages of the weights, and keeps them every `every` updates and at the end.

    An average of any length can be made of what is in `snapshots/` afterwards (Karras et al. 2024, Analyzing and
    Improving the Training Dynamics of Diffusion Models). The averages are float32, move with every update, and are
    part of the checkpoint. Raises `DiffkitError` if it is added to a run that has begun without it.
    """

    def __init__(self, every: Count = 50) -> None:
        self.every = every
        self._averages: dict[float, list[Tensor]] = {}
        self._names: list[str] = []
        self._weights: list[Tensor] = []
        self._last = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin with the weights as they are, or go on with the averages of the checkpoint."""
        assert isinstance(pl_module, Task)
        learning = {name: p for name, p in pl_module.model.named_parameters() if p.requires_grad}
        self._names, self._weights = list(learning), [p.detach() for p in learning.values()]
        self._last = pl_module.updates
        if not self._last:
            self._averages = {length: [w.float().clone() for w in self._weights] for length in LENGTHS}
        elif not self._averages:
            raise DiffkitError(
                f"the run has made {self._last} updates without snapshots, and an average needs all of them:"
                " leave callbacks.snapshots out, or start a new run with it"
            )
        for averages in self._averages.values():
            averages[:] = [a.to(w.device) for a, w in zip(averages, self._weights, strict=True)]
        if trainer.is_global_zero:
            self._folder(trainer).keep(self._last, self.every)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Follow the weights after an update, and keep the averages every so often."""
        assert isinstance(pl_module, Task)
        update = pl_module.updates
        if update == self._last:
            return
        self._last = update
        weights = [w.float() for w in self._weights]  # no copies where they are float32 already
        for length, averages in self._averages.items():
            torch._foreach_lerp_(averages, weights, share(length, update))
        if update % self.every == 0:
            self._write(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the averages at the end, however it came."""
        assert isinstance(pl_module, Task)
        if self._last % self.every:
            self._write(trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        """The averages."""
        return {"averages": {f"{length:g}": averages for length, averages in self._averages.items()}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take them up again."""
        self._averages = {float(length): list(averages) for length, averages in state_dict["averages"].items()}

    def _write(self, trainer: Trainer, task: Task) -> None:
        check_weights(task)
        if trainer.is_global_zero:
            named = {length: dict(zip(self._names, a, strict=True)) for length, a in self._averages.items()}
            self._folder(trainer).write(self._last, named)

    def _folder(self, trainer: Trainer) -> Folder:
        return Folder(Path(trainer.default_root_dir) / FOLDER)
