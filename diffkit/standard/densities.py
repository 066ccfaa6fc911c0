"""Densities of training times.

Each takes `chain`: the T of models that know the times 1/T, 2/T, …, 1 alone (see `on_chain`); null for all times.
"""

from dataclasses import dataclass
from math import pi
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core.objective import AdaptiveDensity, TimeDensity, on_chain
from diffkit.core.schedule import Schedule
from diffkit.core.types import Count, Fraction, Positive, Range
from diffkit.standard.table import time_at

Rows = Float[Tensor, " b"]


@dataclass(frozen=True)
class UniformDensity(TimeDensity):
    """Times uniform in [0, 1). Ho et al. 2020, Denoising Diffusion Probabilistic Models (`chain` 1000)."""

    chain: Count | None = None

    def __call__(self, schedule: Schedule, u: Rows) -> Rows:
        """See `TimeDensity`."""
        return on_chain(u, self.chain)


@dataclass(frozen=True)
class LogitNormal(TimeDensity):
    r"""Times whose logit is normal.

    $$ \log \frac{t}{1 - t} \sim \mathcal N(\mathrm{mean}, \mathrm{std}^2) $$

    It prefers the middle of the path. Esser et al. 2024, Scaling Rectified Flow Transformers.
    """

    mean: float = 0.0
    std: Positive = 1.0
    chain: Count | None = None

    def __call__(self, schedule: Schedule, u: Rows) -> Rows:
        """See `TimeDensity`."""
        return on_chain(torch.sigmoid(self.mean + self.std * torch.special.ndtri(u)), self.chain)


@dataclass(frozen=True)
class EdmDensity(TimeDensity):
    r"""Noise levels that are log-normal.

    $$ \log(\sigma_t / \alpha_t) \sim \mathcal N(\mathrm{mean}, \mathrm{std}^2) $$

    The same levels on any schedule; those beyond its end fall on its end. The default mean is EDM's, -1.2 for data
    of standard deviation 0.5, for data of standard deviation 1.
    Karras et al. 2022, Elucidating the Design Space of Diffusion-Based Generative Models.
    """

    mean: float = -0.5
    std: Positive = 1.2
    chain: Count | None = None

    def __call__(self, schedule: Schedule, u: Rows) -> Rows:
        """See `TimeDensity`."""
        return on_chain(time_at(schedule, -2 * (self.mean + self.std * torch.special.ndtri(u))), self.chain)


@dataclass(frozen=True)
class Mode(TimeDensity):
    r"""Times with a mode in the middle, and no less than some of every other.

    $$ t = 1 - u - s \left(\cos^2 \tfrac{\pi u}{2} - 1 + u\right), \qquad u \sim U $$

    for s = `peak`: uniform at 0, more of the middle above, more of the ends below.
    Esser et al. 2024, Scaling Rectified Flow Transformers.
    """

    peak: Annotated[float, Range(-1, 2 / (pi - 2))] = 1.29
    chain: Count | None = None

    def __call__(self, schedule: Schedule, u: Rows) -> Rows:
        """See `TimeDensity`."""
        t = 1 - u - self.peak * ((pi / 2 * u).cos().square() - 1 + u)
        return on_chain(t.clamp(0, 1), self.chain)  # rounding may leave the interval by 1e-16


@dataclass(frozen=True)
class CosineMap(TimeDensity):
    r"""Times of the straight path at which its log-SNR is distributed as that of the cosine path at uniform times.

    $$ t = 1 - \frac{1}{\tan(\pi u / 2) + 1}, \qquad p(t) = \frac{2}{\pi - 2 \pi t + 2 \pi t^2} $$

    Esser et al. 2024, Scaling Rectified Flow Transformers.
    """

    chain: Count | None = None

    def __call__(self, schedule: Schedule, u: Rows) -> Rows:
        """See `TimeDensity`."""
        level = (pi / 2 * u).tan()
        return on_chain(level / (level + 1), self.chain)


class Importance(AdaptiveDensity):
    r"""Times in proportion to the size of the loss there, which lowers the variance of the objective of uniform times.

    $$ p(t) \propto \sqrt{E[L_t^2]}, \qquad E_{t \sim U}[L_t] = E_{t \sim p}[L_t / p(t)] $$

    The expectation is the mean over about the last `memory` losses in each of `cells` equal cells of time. Until every
    cell has had as many, times are uniform; `floor` is the share of them that stays so.
    Nichol and Dhariwal 2021, Improved Denoising Diffusion Probabilistic Models.
    """

    squares: Tensor
    """The mean square of the loss in each cell."""
    seen: Tensor
    """The number of losses so far."""

    def __init__(
        self, cells: Count = 100, memory: Count = 10, floor: Fraction = 0.001, chain: Count | None = None
    ) -> None:
        super().__init__()
        self.cells, self.memory, self.floor, self.chain = cells, memory, floor, chain
        self.register_buffer("squares", torch.zeros(cells, dtype=torch.float64))
        self.register_buffer("seen", torch.zeros(cells, dtype=torch.int64))

    def _edges(self) -> Float[Tensor, " n"]:
        """The probability of the times up to each edge of a cell, from 0 to 1."""
        size = self.squares.double().sqrt()
        share = torch.where((self.seen >= self.memory).all() & (size.sum() > 0), size / size.sum(), 1 / self.cells)
        share = torch.lerp(share, torch.full_like(share, 1 / self.cells), self.floor)
        sums = torch.cat([share.new_zeros(1), share.cumsum(0)])
        return sums / sums[-1]

    def forward(self, schedule: Schedule, u: Rows) -> Rows:
        """See `TimeDensity`."""
        edges = self._edges()
        cell = torch.searchsorted(edges[1:-1], u.contiguous(), right=True)
        below, above = edges[cell], edges[cell + 1]
        t = (cell + ((u - below) / (above - below)).clamp(0, 1)) / self.cells
        return on_chain(t, self.chain)

    def _cell(self, t: Rows) -> Tensor:
        return (t * self.cells).ceil().long().clamp(1, self.cells) - 1

    def correction(self, t: Rows) -> Rows:
        """See `AdaptiveDensity`."""
        edges = self._edges()
        if self.chain is None:
            return 1 / (self.cells * edges.diff()[self._cell(t)])
        upto = [self._upto(edges, end.clamp(0, 1)) for end in (t - 1 / self.chain, t)]
        return 1 / (self.chain * (upto[1] - upto[0]))

    def _upto(self, edges: Float[Tensor, " n"], t: Rows) -> Rows:
        """The probability of the times up to t."""
        cell = self._cell(t)
        return torch.lerp(edges[cell], edges[cell + 1], t * self.cells - cell)

    def observe(self, t: Rows, losses: Rows) -> None:
        """See `AdaptiveDensity`."""
        # a sum over a mask, since sums by index are not made in the same order twice on a GPU
        hits = (self._cell(t) == torch.arange(self.cells, device=t.device)[:, None]).double()
        rows = hits.sum(1)
        mean = (hits * losses.double().square()).sum(1) / rows.clamp(min=1)
        seen = self.seen + rows.long()
        # the mean of all at first, then one that forgets
        share = torch.maximum(rows / seen.clamp(min=1), 1 - (1 - 1 / self.memory) ** rows)
        self.squares.copy_(torch.lerp(self.squares.double(), mean, share))
        self.seen.copy_(seen)
