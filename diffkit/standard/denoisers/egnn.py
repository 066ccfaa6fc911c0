"""A graph network that knows points by their distances: equivariant to rotations."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from diffkit.core.condition import Condition, ConditionSpec
from diffkit.core.denoiser import DenoiserNetwork
from diffkit.core.errors import DiffkitError
from diffkit.core.types import Count, Natural, Shape
from diffkit.standard.denoisers.layers import Embedding, feed_forward, zero


class Egnn(DenoiserNetwork):
    r"""A graph network over the points of a set, for samples (coordinates, points) about the mean of their points.

    It is equivariant to rotations, reflections and permutations, $F(R x P) = R F(x) P$, and a translation changes
    nothing: it knows points by how far they are from each other and from their mean, and answers with their movement.
    In each block a point's features take in messages of all others, and the points move along their differences:

    $$ h_i \mathrel{+}= f\Big(\sum_{j \ne i} m(h_i, h_j, d_{ij})\Big), \qquad
       x_i \mathrel{+}= \sum_{j \ne i} w(h_i, h_j, d_{ij}) \frac{x_i - x_j}{1 + d_{ij}} $$

    modulated by log-SNR and condition. A distance is told with its `waves` sines and cosines, of wavelengths 8, 4, 2,
    ... of the model's units. The mean over points of the output is 0, so data must be centred. Points that are not
    `condition.present` take no part, and cost nothing; the cost is quadratic in the number of the others. A variance
    is not learned: what has no direction in space has no answer but 0.
    References: Satorras et al., E(n) equivariant graph neural networks, 2021; Hoogeboom et al., Equivariant diffusion
    for molecule generation in 3D, 2022.
    """

    equivariant: ClassVar[bool] = True

    def __init__(
        self, shape: Shape, condition: ConditionSpec, width: Count = 96, depth: Count = 5, waves: Natural = 5
    ) -> None:
        super().__init__()
        if len(shape) != 2:
            raise DiffkitError(
                f"the denoiser 'egnn' works on sets of points, (coordinates, points), not on {shape}: "
                "choose denoiser=mlp"
            )
        self.embedding = Embedding(width, condition)
        self.distance = Distance(waves)
        self.first = nn.Linear(1 + 2 * waves + (condition.spatial or 0), width)
        self.blocks = nn.ModuleList(Block(width, 1 + 2 * waves) for _ in range(depth))

    def forward(
        self, x: Float[Tensor, "b c n"], logsnr: Float[Tensor, " b"], condition: Condition
    ) -> Float[Tensor, "b c n"]:
        """The output F."""
        there = condition.present
        graph = Graph.of(x.new_ones(len(x), x.shape[2], dtype=torch.bool) if there is None else there)
        e = self.embedding(logsnr, condition)
        start = graph.centred(graph.points(x))
        told = [self.distance(start)] + ([] if condition.spatial is None else [graph.points(condition.spatial)])
        h, moved = self.first(torch.cat(told, 1)), start
        for block in self.blocks:
            h, moved = block(h, moved, e, graph, self.distance)
        output = graph.centred(moved - start)
        return torch.zeros_like(x.transpose(1, 2)).index_put((graph.row, graph.place), output).transpose(1, 2)


@dataclass(frozen=True)
class Graph:
    """The points of all rows one after the other, and the ordered pairs of those in one row."""

    row: Int[Tensor, " points"]
    place: Int[Tensor, " points"]
    count: Int[Tensor, " b"]
    """The points of each row."""
    i: Int[Tensor, " pairs"]
    j: Int[Tensor, " pairs"]

    @classmethod
    def of(cls, there: Bool[Tensor, "b n"]) -> "Graph":
        """Of the points that are there."""
        number = there.flatten().cumsum(0).reshape(there.shape) - 1
        itself = torch.eye(there.shape[1], dtype=torch.bool, device=there.device)
        of, i, j = (there[:, :, None] & there[:, None] & ~itself).nonzero(as_tuple=True)
        row, place = there.nonzero(as_tuple=True)
        return cls(row, place, there.sum(1), number[of, i], number[of, j])

    def points(self, x: Float[Tensor, "b c n"]) -> Float[Tensor, "points c"]:
        """What `x` is at the points."""
        return x.transpose(1, 2)[self.row, self.place]

    def centred(self, x: Float[Tensor, "points c"]) -> Float[Tensor, "points c"]:
        """`x` less its mean over the points of each row."""
        mean = _sums(x, self.row, len(self.count)) / self.count[:, None].clamp(min=1)
        return x - mean.index_select(0, self.row)


def _sums(x: Tensor, index: Tensor, size: int) -> Tensor:
    # index_select and index_add are each other's gradient, and several times as fast on a CPU as x[index]
    return x.new_zeros(size, x.shape[1]).index_add(0, index, x)


class Distance(nn.Module):
    """The length of vectors, and its sines and cosines."""

    def __init__(self, waves: int) -> None:
        super().__init__()
        self.frequencies: Tensor
        self.register_buffer("frequencies", math.pi / 4 * 2.0 ** torch.arange(waves), persistent=False)

    def forward(self, apart: Float[Tensor, "k c"]) -> Float[Tensor, "k f"]:
        """The features of each vector, the length first."""
        # no length is 0, where it has no gradient
        d = (apart.square().sum(1, keepdim=True) + 1e-12).sqrt()
        angle = d * self.frequencies
        return torch.cat([d, angle.sin(), angle.cos()], 1)


class Block(nn.Module):
    """Messages between points, a feed-forward network, and a movement of the points; it starts as the identity.

    The features that they read are normalised, then scaled and shifted by functions of the embedding.
    """

    def __init__(self, width: int, distance: int) -> None:
        super().__init__()
        self.modulation = zero(nn.Linear(width, 6 * width))
        self.message = Pairs(width, distance)
        self.again = nn.Sequential(nn.Linear(width, width), nn.SiLU())
        self.gate = nn.Sequential(nn.Linear(width, 1), nn.Sigmoid())
        self.out = zero(nn.Linear(width, width))
        self.feed_forward = feed_forward(width, 2)
        self.pull = Pairs(width, distance)
        self.weight = zero(nn.Linear(width, 1, bias=False))

    def forward(
        self,
        h: Float[Tensor, "points w"],
        x: Float[Tensor, "points c"],
        e: Float[Tensor, "b e"],
        graph: Graph,
        distance: Distance,
    ) -> tuple[Float[Tensor, "points w"], Float[Tensor, "points c"]]:
        """The features and the points after the block; `e` is the embedding."""
        scale_1, shift_1, scale_2, shift_2, scale_3, shift_3 = self.modulation(e).index_select(0, graph.row).chunk(6, 1)
        width = h.shape[-1:]
        apart = x.index_select(0, graph.i) - x.index_select(0, graph.j)
        d = distance(apart)
        m = self.again(self.message(layer_norm(h, width) * (1 + scale_1) + shift_1, d, graph))
        h = h + self.out(_sums(self.gate(m) * m, graph.i, len(h)))
        h = h + self.feed_forward(layer_norm(h, width) * (1 + scale_2) + shift_2)
        w = self.weight(self.pull(layer_norm(h, width) * (1 + scale_3) + shift_3, d, graph))
        return h, x + _sums(w * apart / (1 + d[:, :1]), graph.i, len(x))


class Pairs(nn.Module):
    """The features of pairs of points: one layer of those of both and of their distance."""

    def __init__(self, width: int, distance: int) -> None:
        super().__init__()
        self.here = nn.Linear(width, width)
        self.other = nn.Linear(width, width, bias=False)
        self.distance = nn.Linear(distance, width, bias=False)

    def forward(
        self, h: Float[Tensor, "points w"], d: Float[Tensor, "pairs f"], graph: Graph
    ) -> Float[Tensor, "pairs w"]:
        """The features of each pair."""
        ends = self.here(h).index_select(0, graph.i) + self.other(h).index_select(0, graph.j)
        features: Tensor = nn.functional.silu(ends + self.distance(d))
        return features
