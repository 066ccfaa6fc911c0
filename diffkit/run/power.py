"""Averages of the weights that count them by a power of time, and how any one of them is made of a few."""

from collections.abc import Sequence
from functools import cache
from math import sqrt

import torch
from jaxtyping import Float
from torch import Tensor

LONGEST = 1 / sqrt(12)
"""The length of the plain mean of all updates, which no average here is longer than."""


@cache
def exponent(length: float) -> float:
    r"""The power $\gamma$ of an average that is this long.

    After n updates it counts the weights by $p(\tau) = (\gamma + 1)\,\tau^\gamma / n^{\gamma + 1}$ for
    $0 < \tau \le n$. Its length (sigma_rel in Karras et al. 2024, Analyzing and Improving the Training Dynamics of
    Diffusion Models) is the standard deviation of p as a share of n,
    $(\gamma + 1)^{1/2} (\gamma + 2)^{-1} (\gamma + 3)^{-1/2}$: above 0, and at most $12^{-1/2}$ where
    $\gamma$ is 0.
    """
    r = length**-2
    # the roots of (g + 2)^2 (g + 3) = r (g + 1): one of them is not negative
    companion = torch.tensor([[-7, r - 16, r - 12], [1, 0, 0], [0, 1, 0]], dtype=torch.float64)
    return max(0.0, float(torch.linalg.eigvals(companion).real.max()))


def share(length: float, update: int) -> float:
    r"""How much the newest weights count, $1 - (1 - 1/n)^{\gamma + 1}$; the rest is the average one update before.

    So those after update k count as $\int_{k-1}^k p$, exactly.
    """
    return float(1 - (1 - 1 / update) ** (exponent(length) + 1))


def mixture(known: Sequence[tuple[float, int]], wanted: tuple[float, int]) -> tuple[Float[Tensor, " k"], float]:
    r"""The shares of `known` averages (length, update) in the nearest thing to the `wanted` one, and how far it is.

    The shares x minimise $\int (p - \sum_i x_i p_i)^2$ under $\sum_i x_i = 1$, without which the weights would be
    scaled. The distance is $\|p - \sum_i x_i p_i\| / \|p\|$. All is float64.
    """
    power, end = _tensor([exponent(length) for length, _ in known]), _tensor([n for _, n in known])
    g, n = _tensor([exponent(wanted[0])]), _tensor([wanted[1]])
    norm = _products(g, n, g, n).item()
    a, b = _products(power, end, power, end) / norm, _products(power, end, g, n)[:, 0] / norm
    ones = torch.ones_like(b)
    system = torch.cat([torch.cat([a, ones[:, None]], 1), torch.cat([ones, ones.new_zeros(1)])[None]])
    # averages that are nearly alike make it nearly singular: of all solutions the smallest
    x = torch.linalg.lstsq(system, torch.cat([b, ones[:1]])[:, None], driver="gelsd").solution[:-1, 0]
    return x, sqrt(max(0.0, (1 - 2 * (x @ b) + x @ a @ x).item()))


def _products(g: Tensor, n: Tensor, h: Tensor, m: Tensor) -> Tensor:
    r"""$\int p_i p_j$ up to the earlier of the two ends, of averages with powers g and h after n and m updates."""
    g, n = g[:, None], n[:, None]
    first = torch.minimum(n, m)
    return (g + 1) * (h + 1) / (g + h + 1) * (first / n) ** g * (first / m) ** h * first / (n * m)


def _tensor(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)
