"""Classes around a circle."""

from math import pi
from typing import ClassVar

import torch
from torch import Tensor

from diffkit.core import Batch, Condition, Conditioner, ConditionSpec, Count


class MyConditioner(Conditioner):
    r"""Classes that follow each other around a circle, such as hours or directions; reads the column `"label"`.

    $$ \left( \cos 2\pi k c / C,\; \sin 2\pi k c / C \right), \qquad k = 1, \dots, \mathrm{waves} $$

    for class c of C. Neighbours get similar vectors, the last class and the first too.
    """

    key: ClassVar[str] = "label"
    table: Tensor

    def __init__(self, classes: int, waves: Count = 4) -> None:
        super().__init__()
        angles = 2 * pi / classes * torch.arange(classes)[:, None] * torch.arange(1, waves + 1)
        self.register_buffer("table", torch.cat([angles.cos(), angles.sin()], 1))

    @property
    def spec(self) -> ConditionSpec:
        """One vector."""
        return ConditionSpec(vector=self.table.shape[1])

    def forward(self, batch: Batch) -> Condition:
        """The vectors of `batch["label"]`, integers from 0 to `classes - 1`."""
        return Condition(vector=self.table[batch[self.key].to(self.table.device)])
