"""Whether training stays finite: what is not is never learned from for long, and is told by step, loss and rows."""

from collections import deque
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from diffkit.core.data import Data, Numbered
from diffkit.core.errors import RunFailed

SHARES = 16
"""All of the average at once would be up to 4 % of a step (benchmarks/safety.py)."""
_SHOWN = 8
_AFTER = "the weights are not finite after update {}: "
_TRY = "try a lower optimizer.lr, a longer task.warmup, or trainer.gradient_clip_val=1"


class Finite:
    """Looks at every batch, and after every update at a part of the average, all of which is seen in `SHARES` updates.

    The average follows the weights, and these the gradients: its norms tell of all three, and what is not finite in it
    stays so. What is asked of a GPU is read one update later, without waiting for it.
    """

    def __init__(self) -> None:
        self.patience = 1
        """The updates in a row that may be not finite: those before the last of them are skipped."""
        self.data: Data | None = None
        self.place = (0, 1)
        """This device's number, and how many there are."""
        self._skipped = 0
        self._batches = deque[tuple[int, Tensor, Tensor]](maxlen=64)
        self._asked: tuple[int, Tensor, torch.cuda.Event] | None = None

    def batch(self, number: int, losses: Tensor, x: Tensor) -> None:
        """Take note of a batch; raises `RunFailed` if its loss is not finite, where that can be seen at once."""
        self._batches.append((number, losses, x))
        if losses.device.type == "cpu" and self.patience == 1 and not losses.sum().isfinite():
            raise RunFailed(self._words(""))

    def skips(self, weights: Sequence[Tensor]) -> bool:
        """Whether an update is left out: what has no gradient is not moved.

        Only if there is patience, since to look here is to wait. Raises `RunFailed` if there is none left.
        """
        if self.patience == 1:
            return False
        self._skipped = 0 if _finite([w.grad for w in weights if w.grad is not None]) else self._skipped + 1
        if self._skipped >= self.patience:
            raise RunFailed(self._words(f"the gradients of {self._skipped} updates in a row are not finite: "))
        if not self._skipped:
            return False
        self._batches.clear()
        for weight in weights:
            weight.grad = None
        return True

    def update(self, number: int, average: Sequence[Tensor]) -> None:
        """Look at a part of the average after an update, or on a GPU at what was asked one update ago.

        Raises `RunFailed` if that is not finite.
        """
        if self._asked is not None:
            before, answer, event = self._asked
            event.synchronize()  # long past: a whole update has been given to the device since
            if not answer:
                raise RunFailed(self._words(_AFTER.format(before)))
        part = average[number % SHARES :: SHARES]
        if part and part[0].device.type == "cuda":
            answer = torch.empty((), dtype=torch.bool, pin_memory=True)
            answer.copy_(_finite(part), non_blocking=True)
            event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            event.record()
            self._asked = number, answer, event
        elif part:
            self.weights(number, part)
        while len(self._batches) > 2:
            self._batches.popleft()

    def weights(self, number: int, tensors: Sequence[Tensor]) -> None:
        """Look at weights after an update, and wait for the answer; raises `RunFailed` if one is not finite."""
        if tensors and not _finite(tensors):
            raise RunFailed(self._words(_AFTER.format(number)))

    def _words(self, what: str) -> str:
        """The first of the last batches whose loss is not finite, else the last one, with the rows to blame."""
        if not self._batches:
            return f"{what}the run stops and its last good checkpoint stays; {_TRY}"
        bad = [entry for entry in self._batches if not entry[1].isfinite().all()]
        number, losses, x = (bad or list(self._batches))[0 if bad else -1]
        there = f"the loss is {losses.double().mean().item():g} at step {number}"
        return (
            f"{what}{there}, {self._rows(number, losses, x)}: the run stops and its last good checkpoint stays; {_TRY}"
        )

    def _rows(self, number: int, losses: Tensor, x: Tensor) -> str:
        """The rows of a batch whose losses are not finite, by their places in the batch and in the data."""
        found = (~losses.isfinite()).nonzero().flatten().tolist()
        if not found:
            return f"whose rows (batch {number - 1}) all have finite losses"
        spoiled = not x.flatten(1)[found].isfinite().all()
        rank, world = self.place
        places = [rank + world * place for place in found]
        rows: Sequence[Any] = self.data.numbers(number - 1) if isinstance(self.data, Numbered) else []
        named = [f"{rows[place]} of the data" if rows else f"{place} of the batch" for place in places]
        more = f" and {len(named) - _SHOWN} more" if len(named) > _SHOWN else ""
        values = ", which has values that are NaN or infinite itself" if spoiled else ""
        return f"of row {', '.join(named[:_SHOWN])}{more} (batch {number - 1}){values}"


def _finite(tensors: Sequence[Tensor]) -> Tensor:
    """Whether all numbers are, as one number on their device."""
    return torch.stack([norm.float() for norm in torch._foreach_norm(list(tensors))]).isfinite().all()
