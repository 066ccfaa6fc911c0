"""The energy distance."""

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics import Metric

from diffkit.core import Batch, Count, Data, SampleMetric


class MyMetric(Metric, SampleMetric):
    r"""The energy distance between samples and held-out rows, of which it takes `rows` each at most.

    $$ 2\, \mathrm{E}\lVert X - Y \rVert - \mathrm{E}\lVert X - X' \rVert - \mathrm{E}\lVert Y - Y' \rVert $$

    0 if the two are the same, else more; in the units in which the data have unit variance.
    Szekely and Rizzo 2013, Energy statistics: A class of statistics based on distances.
    """

    higher_is_better = False
    x: list[Tensor]

    def __init__(self, data: Data, rows: Count = 2000) -> None:
        super().__init__()
        self.data, self.rows = data, rows
        self.add_state("x", [], dist_reduce_fx="cat")

    def update(self, x: Float[Tensor, " b *d"], columns: Batch) -> None:
        """Take in samples."""
        self.x.append(self.data.spec.standardise(x).flatten(1))

    def compute(self) -> Float[Tensor, ""]:
        """The distance, 0 or more."""
        x = torch.cat(self.x)[: self.rows].double()
        y = self.data.reference("test")["x"].flatten(1)[: self.rows].to(x)
        return 2 * torch.cdist(x, y).mean() - torch.cdist(x, x).mean() - torch.cdist(y, y).mean()
