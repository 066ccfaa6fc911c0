"""Class labels."""

from typing import ClassVar

from torch import nn

from diffkit.core.condition import Condition, ConditionSpec
from diffkit.core.conditioner import Conditioner
from diffkit.core.types import Batch, Count


class ClassLabel(Conditioner):
    """A learned vector for each class; reads the column `"label"`, integers from 0 to `classes - 1`."""

    key: ClassVar[str] = "label"

    def __init__(self, classes: int, width: Count = 128) -> None:
        super().__init__()
        self.embedding = nn.Embedding(classes, width)

    @property
    def spec(self) -> ConditionSpec:
        """One vector."""
        return ConditionSpec(vector=self.embedding.embedding_dim)

    def forward(self, batch: Batch) -> Condition:
        """The vectors of `batch["label"]`."""
        return Condition(vector=self.embedding(batch[self.key].to(self.embedding.weight.device)))
