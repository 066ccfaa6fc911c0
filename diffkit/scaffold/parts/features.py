"""Random projections of the values."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core import Count, Data, DiffkitError, Features


@dataclass(frozen=True)
class MyFeatures(Features):
    r"""The standardised values in `width` random directions, cut off below 0, as a layer that was never trained.

    $$ \max(0, W x), \qquad W_{ij} \sim \mathcal{N}(0, 1 / d) $$

    Raises `DiffkitError` for rows of more than 100,000 values.
    """

    width: Count = 64

    def check(self, data: Data) -> None:
        """See `Features`."""
        if torch.Size(data.spec.shape).numel() > 100_000:
            raise DiffkitError(f"rows of shape {list(data.spec.shape)} are too large: choose other features")

    def __call__(self, data: Data, x: Float[Tensor, " n *d"]) -> Float[Tensor, "n features"]:
        """See `Features`."""
        values = data.spec.standardise(x).flatten(1).double().cpu()
        stream = torch.Generator().manual_seed(0)
        weight = torch.randn(values.shape[1], self.width, generator=stream, dtype=torch.float64)
        projected: Tensor = values @ weight / values.shape[1] ** 0.5
        return projected.relu()
