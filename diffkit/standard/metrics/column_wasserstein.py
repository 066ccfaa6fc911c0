"""The Wasserstein distance of each column in its own unit."""

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics import Metric

from diffkit.core.data import Data, DataSpec
from diffkit.core.errors import DiffkitError
from diffkit.core.metric import SampleMetric
from diffkit.core.types import Batch


class ColumnWasserstein(Metric, SampleMetric):
    r"""The Wasserstein distance of order 1 between samples and held-out rows, of each column and in its own unit.

    $$ \int_0^1 |F^{-1}(p) - G^{-1}(p)| \, dp $$

    How far, on average, the values of a column have to be moved to be those of real rows; one figure for each entry of
    the first axis of a sample, named as the data name it. Missing values are left out. Raises `DiffkitError` for a
    column without any value.
    Reference: Villani, Optimal transport: old and new, 2009.
    """

    higher_is_better = False
    x: list[Tensor]

    def __init__(self, data: Data) -> None:
        super().__init__()
        self.data = data
        self.add_state("x", [], dist_reduce_fx="cat")

    def update(self, x: Float[Tensor, " b *d"], columns: Batch) -> None:
        """Take in samples."""
        self.x.append(x.double().cpu())

    def compute(self) -> dict[str, Float[Tensor, ""]]:
        """The distance of each column, 0 or more, in its unit."""
        drawn, real = torch.cat(self.x), self.data.spec.own(self.data.reference("test"))["x"].double().cpu()
        return {
            name: wasserstein(_known(drawn[:, i], name), _known(real[:, i], name))
            for i, name in enumerate(titles(self.data.spec))
        }


def titles(spec: DataSpec) -> list[str]:
    """What the entries of the first axis are called, with their units: `bill_length (mm)`."""
    names = spec.names or tuple(map(str, range(spec.shape[0])))
    return [f"{name} ({unit})" if unit else name for name, unit in zip(names, spec.units, strict=True)]


def wasserstein(a: Float[Tensor, " n"], b: Float[Tensor, " m"]) -> Float[Tensor, ""]:
    """The distance of order 1 of two sets of numbers, of any sizes."""
    from scipy.stats import wasserstein_distance

    return torch.tensor(wasserstein_distance(a.numpy(), b.numpy()), dtype=torch.float64)


def _known(column: Float[Tensor, " n *d"], name: str) -> Float[Tensor, " values"]:
    values = column.flatten()
    values = values[values.isfinite()]
    if not len(values):
        raise DiffkitError(f"column_wasserstein: no row has a value of {name}, which needs one or more: set n=...")
    return values
