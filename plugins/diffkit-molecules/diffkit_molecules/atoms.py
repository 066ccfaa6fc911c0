"""The conditioner that reads formulas."""

from typing import ClassVar

from torch import nn

from diffkit import DiffkitError
from diffkit.core import Batch, Condition, Conditioner, ConditionSpec, Count, Shape
from diffkit_molecules.formulas import ELEMENTS, kinds_of


class Atoms(Conditioner):
    """The atoms of a formula, which is in the column `"text"`: an embedding of its element for each point.

    Points are sorted as the formula is in Hill's order; there are as many as the formula has atoms, and `present`
    says which. Any formula may be asked for, as long as its elements were learned: raises `DiffkitError` for another,
    for what is no formula, and for more atoms than the data have points.
    """

    key: ClassVar[str] = "text"

    def __init__(self, shape: Shape, width: Count = 32) -> None:
        super().__init__()
        if len(shape) != 2:
            raise DiffkitError(f"conditioner=atoms is for points (coordinates, points), not {shape}: choose another")
        self.points, self.width = shape[1], width
        self.embedding = nn.Embedding(1 + len(ELEMENTS), width, padding_idx=0)

    @property
    def spec(self) -> ConditionSpec:
        """The channels of an embedding over the points, and which points there are."""
        return ConditionSpec(spatial=self.width, present=True)

    def forward(self, batch: Batch) -> Condition:
        """The embeddings of `batch["text"]`."""
        kinds = kinds_of(batch[self.key], self.points).to(self.embedding.weight.device)
        return Condition(spatial=self.embedding(kinds).transpose(1, 2), present=kinds > 0)
