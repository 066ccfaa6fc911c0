"""Figures for sets of points, by the Chamfer distance between clouds."""

import math
from collections.abc import Mapping
from hashlib import blake2b
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torchmetrics import Metric

from diffkit.core.data import Data
from diffkit.core.errors import DiffkitError
from diffkit.core.metric import SampleMetric
from diffkit.core.types import Batch, Count

BLOCK = 2**18
"""Distances that are in memory at a time: they fit in a processor's cache."""
FAR = 1e12
"""The squared distance, in the unit of the clouds, to a point that is not there."""
_held_out: WeakKeyDictionary[Data, dict[int, tuple[Tensor, Tensor]]] = WeakKeyDictionary()


class Chamfer(Metric, SampleMetric):
    r"""Distance, coverage and 1-NN accuracy of sets of points: how near samples are to held-out clouds, and how varied.

    With the Chamfer distance, in the data's own unit,

    $$ d(a, b) = \frac{1}{2 |a|} \sum_{p \in a} \min_{q \in b} |p - q| + \frac{1}{2 |b|} \sum_{q \in b}
       \min_{p \in a} |p - q| $$

    between clouds: `distance` is the mean over held-out clouds of that to the nearest sample (minimum matching
    distance); `coverage` is the share of held-out clouds that are nearest to some sample; `nn_accuracy` is how often
    the nearest of all other clouds, held-out and drawn, is of a cloud's own kind: 1/2 at the best, 1 where samples are
    unlike any, less than 1/2 where they repeat what is held out. Equal numbers of both are compared, at most `sets`,
    chosen by their content. Points that are not there are left out. Raises `DiffkitError` for data that are no sets of
    points in 2 or 3 coordinates.
    Achlioptas et al. 2018, Learning representations and generative models for 3D point clouds; Yang et al. 2019,
    PointFlow: 3D point cloud generation with continuous normalizing flows.
    """

    x: list[Tensor]

    def __init__(self, data: Data, sets: Count = 500) -> None:
        super().__init__()
        if len(data.spec.shape) != 2 or data.spec.shape[0] not in (2, 3):
            raise DiffkitError(
                "chamfer compares sets of points in 2 or 3 coordinates, and a row of "
                f"{type(data).__name__} is of shape {data.spec.shape}: leave it out of metric=[...]"
            )
        self.data, self.sets = data, sets
        self.add_state("x", [], dist_reduce_fx="cat")

    def update(self, x: Float[Tensor, " b *d"], columns: Batch) -> None:
        """Take in samples."""
        self.x.append(x.cpu())

    def compute(self) -> Mapping[str, Float[Tensor, ""]]:
        """The three figures, for all samples so far."""
        drawn = torch.cat(self.x)
        n = min(len(drawn), self.sets, len(self.data.reference("test")["x"]))
        drawn = chosen(drawn, n)
        real, within = self._real(n)
        across = distances(real, drawn)
        nearest = drawn[across.argmin(1)].double()
        pairs = zip(real.double(), nearest, strict=True)
        return {
            # once more in full precision, so that the distance to a copy is 0
            "distance": torch.stack([_exact(a, b) for a, b in pairs]).mean(),
            "coverage": torch.unique(across.argmin(0)).numel() / torch.tensor(float(n)),
            "nn_accuracy": nn_accuracy(within, across, _within(drawn)),
        }

    def _real(self, n: int) -> tuple[Tensor, Tensor]:
        """`n` held-out clouds and the distances between them; found once for each data part."""
        known = _held_out.setdefault(self.data, {})
        if n not in known:
            real = chosen(self.data.spec.own(self.data.reference("test"))["x"], n)
            known[n] = (real, _within(real))
        return known[n]


def chosen(x: Float[Tensor, "m d n"], n: int) -> Float[Tensor, "some d n"]:
    """`n` of the clouds, in an order and by a choice that are functions of their content alone."""
    keys = [blake2b(cloud.contiguous().numpy().tobytes(), digest_size=8).digest() for cloud in x.float()]
    return x[sorted(range(len(x)), key=keys.__getitem__)[:n]].float()


def distances(a: Float[Tensor, "n d p"], b: Float[Tensor, "m d q"]) -> Float[Tensor, "n m"]:
    """The Chamfer distance of each cloud of `a` to each of `b`, in float32; points that are not finite are left out."""
    middle = a[a.isfinite().all(1, keepdim=True).expand_as(a)].mean()  # about it products are at their most precise
    (left, in_a), (right, in_b) = _lifted(a - middle, first=True), _lifted(b - middle, first=False)
    step = max(1, BLOCK // (a.shape[2] * b.shape[2]))
    rows = []
    for cloud, there in zip(left.mT, in_a, strict=True):
        parts = [
            _chamfer(cloud @ some, there, others)
            for some, others in zip(torch.split(right, step), torch.split(in_b, step), strict=True)
        ]
        rows.append(torch.cat(parts))
    return torch.stack(rows)


def nn_accuracy(a: Float[Tensor, "n n"], across: Float[Tensor, "n m"], b: Float[Tensor, "m m"]) -> Float[Tensor, ""]:
    """How often the nearest other is of one's own kind, from the distances within `a`, between both, and within `b`."""
    n = len(a)
    every = torch.cat([torch.cat([a, across], 1), torch.cat([across.T, b], 1)])
    own = torch.arange(len(every)) < n
    nearest = every.fill_diagonal_(math.inf).argmin(1)
    return (own[nearest] == own).double().mean()


def _within(a: Float[Tensor, "n d p"]) -> Float[Tensor, "n n"]:
    """The distances of all pairs, each found once."""
    found = torch.zeros(len(a), len(a))
    for i in range(len(a) - 1):
        found[i, i + 1 :] = distances(a[i : i + 1], a[i + 1 :])[0]
    return found + found.T


def _lifted(x: Float[Tensor, "n d p"], first: bool) -> tuple[Float[Tensor, "n e p"], Bool[Tensor, "n p"]]:
    """Two more coordinates, so that a product of `first` ones and others is a squared distance; and what is there."""
    there = x.isfinite().all(1)
    x = x.where(there[:, None], 0.0)
    square = x.square().sum(1).where(there, FAR)[:, None]
    one = torch.ones_like(square)
    return torch.cat([x, square, one] if first else [-2 * x, one, square], 1), there


def _chamfer(
    squared: Float[Tensor, "m p q"], in_a: Bool[Tensor, " p"], in_b: Bool[Tensor, "m q"]
) -> Float[Tensor, " m"]:
    """The Chamfer distances of one cloud to m others from the squared distances of their points."""
    there = squared.amin(2).clamp(min=0).sqrt() @ in_a.to(squared) / in_a.sum()
    back = (squared.amin(1).clamp(min=0).sqrt() * in_b).sum(1) / in_b.sum(1)
    return (there + back) / 2


def _exact(a: Float[Tensor, "d p"], b: Float[Tensor, "d q"]) -> Float[Tensor, ""]:
    """The Chamfer distance of two clouds, without rounding that matters."""
    a, b = (x[:, x.isfinite().all(0)].T for x in (a, b))
    apart = torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
    return (apart.amin(1).mean() + apart.amin(0).mean()) / 2
