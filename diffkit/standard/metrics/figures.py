"""What metrics of the model itself share: the mean of a figure with its standard error."""

import math

from jaxtyping import Float
from torch import Tensor

from diffkit.core.data import DataSpec
from diffkit.core.metric import Figure


def in_nats(name: str, values: Float[Tensor, " b"], noise: float = 0.0) -> dict[str, Figure]:
    """The mean over rows of a figure in nats; its error is that over rows, and `noise` that the rows have in common."""
    spread = values.std().item() / len(values) ** 0.5 if len(values) > 1 else math.nan
    return {name: Figure(values.mean().item(), math.hypot(spread, noise))}


def and_bits(figures: dict[str, Figure], spec: DataSpec) -> dict[str, Figure]:
    """`figures` and their first one in bits for each number of a row, where the data are discrete."""
    if spec.quantum is None:
        return figures
    first, bits = next(iter(figures.values())), math.prod(spec.shape) * math.log(2)
    return {**figures, "bits_per_dim": Figure(first.value / bits, first.error / bits)}
