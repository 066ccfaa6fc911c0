"""What frozen encoders said of texts, looked up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from diffkit.core import Condition


@dataclass(frozen=True)
class Table:
    """The vectors and the tokens of n texts; tokens of all texts follow each other, without padding."""

    place: Mapping[str, int]
    """The row of each text."""
    size: Int[Tensor, " n"]
    """How many tokens each has, on the CPU."""
    vector: Float[Tensor, "n d"] | None
    tokens: Float[Tensor, "m e"] | None

    @classmethod
    def of(cls, texts: Sequence[str], tensors: Mapping[str, Tensor], device: torch.device) -> "Table":
        """The table of `texts`, from what `tensors` gives of it."""
        vector, tokens = tensors.get("vector"), tensors.get("tokens")
        return cls(
            {text: row for row, text in enumerate(texts)},
            tensors["size"].cpu(),
            None if vector is None else vector.to(device),
            None if tokens is None else tokens.to(device),
        )

    def tensors(self) -> dict[str, Tensor]:
        """All but the texts, for `of`."""
        named = {"size": self.size, "vector": self.vector, "tokens": self.tokens}
        return {name: tensor for name, tensor in named.items() if tensor is not None}

    def joined(self, other: "Table") -> "Table":
        """With the rows of a table of other texts below its own."""
        place = {**self.place, **{text: len(self.size) + row for text, row in other.place.items()}}
        above, below = self.tensors(), other.tensors()
        both = {name: torch.cat([above[name], below[name].to(above[name].device)]) for name in above}
        return Table(place, both["size"], both.get("vector"), both.get("tokens"))

    def __call__(self, texts: Sequence[str]) -> Condition:
        """The condition of texts, all of which it has; a sequence is padded to the longest of them."""
        rows = torch.tensor(list(map(self.place.__getitem__, texts)))
        vector = None if self.vector is None else self.vector.index_select(0, rows.to(self.vector.device))
        if self.tokens is None:
            return Condition(vector)
        size = self.size[rows]
        steps = torch.arange(int(size.max()))
        mask = steps < size[:, None]
        first = (self.size.cumsum(0) - self.size)[rows]
        index = torch.where(mask, first[:, None] + steps, 0)
        mask = mask.to(self.tokens.device)
        return Condition(vector, self.tokens[index.to(self.tokens.device)] * mask[..., None], mask)
