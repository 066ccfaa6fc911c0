r"""Exponential Runge-Kutta methods in $\lambda = \log(\alpha / \sigma)$, half the log-SNR.

$$ x^{(j)} = \mathrm{keep}_j\, x_t + n_j h \sum_{l < j} a_{jl}(z) F_l, \qquad
   \varphi_k(z) = \int_0^1 e^{(1 - u) z} \frac{u^{k - 1}}{(k - 1)!}\, du $$

with the weights a made of the functions phi of the step h. For F = x_0, keep is sigma_j / sigma_t, n_j = alpha_j and
z = -h; for F = eps, keep is alpha_j / alpha_t, n_j = -sigma_j and z = h. Where F is constant a step is exact.
Hochbruck and Ostermann 2010, Exponential Integrators.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import factorial
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core.schedule import Schedule
from diffkit.standard.samplers.adams import gauss
from diffkit.standard.samplers.ends import Ends
from diffkit.standard.samplers.forms import FORMS
from diffkit.standard.samplers.stages import Points, Slopes, Stages, fold

Phi = Callable[[int, float], Tensor]
"""$\\varphi_k(c z)$ for every step, given k and the share c of the step."""


@dataclass(frozen=True)
class Method:
    """The `nodes` after the first, as shares of the step, and the slopes' weights for each, and for the end."""

    nodes: tuple[float, ...]
    rows: Callable[[Phi], Sequence[Sequence[Tensor | float]]]


def _second(phi: Phi) -> Sequence[Sequence[Tensor | float]]:
    return [phi(1, 1 / 2) / 2], [0.0, phi(1, 1)]


def _third(phi: Phi) -> Sequence[Sequence[Tensor | float]]:
    two, end = phi(2, 2 / 3) * 4 / 3, phi(2, 1) * 3 / 2
    return [phi(1, 1 / 3) / 3], [phi(1, 2 / 3) * 2 / 3 - two, two], [phi(1, 1) - end, 0.0, end]


def _cox_matthews(phi: Phi) -> Sequence[Sequence[Tensor | float]]:
    one, two, three = phi(1, 1), phi(2, 1), phi(3, 1)
    end = [one - 3 * two + 4 * three, 4 * two - 8 * three, 4 * three - two]
    return [phi(1, 1 / 2) / 2], [-one, 2 * one], end


def _krogstad(phi: Phi) -> Sequence[Sequence[Tensor | float]]:
    half, one, two, three = phi(2, 1 / 2), phi(1, 1), phi(2, 1), phi(3, 1)
    middle = 2 * two - 4 * three
    end = [one - 3 * two + 4 * three, middle, middle, 4 * three - two]
    return [phi(1, 1 / 2) / 2], [phi(1, 1 / 2) / 2 - half, half], [one - 2 * two, 0.0, 2 * two], end


SECOND = Method((1 / 2,), _second)
"""DPM-Solver-2: the slope in the middle for the whole step."""
THIRD = Method((1 / 3, 2 / 3), _third)
"""DPM-Solver-3: the slope's change until two thirds of the step."""
COX_MATTHEWS = Method((1 / 2, 1.0), _cox_matthews)
"""ETD3RK."""
KROGSTAD = Method((1 / 2, 1 / 2, 1.0), _krogstad)
"""ETDRK4-B."""


def exponential(
    form: Literal["x0", "eps"],
    schedule: Schedule,
    times: Float[Tensor, " m"],
    method: Method,
    ends: Ends | None = None,
    rate: float = 1.0,
) -> Stages:
    """The steps between `times`; DDIM's in the step to sigma_s = 0, which is infinitely long.

    `ends` are others than the times' own where a step goes further. For form `x0`, a `rate` above 1 is that of the SDE
    with noise.
    """
    ends = ends or Ends.of(schedule, times)

    points = Points.of(schedule, times, ends, method.nodes, ends.logsnr)
    alpha, sigma, single = points.alpha, points.sigma, ends.h.isinf()
    h = torch.where(single, 0.0, rate * ends.h)
    z = -h if form == "x0" else h
    u, w = gauss(32)  # the integrands are positive, so that no digit is lost for any h

    def phi(k: int, share: float) -> Tensor:
        return (torch.exp((1 - u) * share * z[:, None]) * u ** (k - 1) * w).sum(1) / factorial(k - 1)

    rows = torch.zeros(len(h), len(method.nodes) + 1, len(method.nodes) + 1, dtype=torch.float64)
    for j, row in enumerate(method.rows(phi)):
        for past, weight in enumerate(row):
            rows[:, j, past] = weight
    scale = alpha[:, 1:] if form == "x0" else -sigma[:, 1:]
    weights = rows * (scale * h[:, None])[..., None]
    keep = sigma[:, 1:] / sigma[:, :1] if form == "x0" else alpha[:, 1:] / alpha[:, :1]
    if rate != 1:
        keep = keep * torch.exp((1 - rate) * torch.tensor([*method.nodes, 1.0], dtype=torch.float64) * ends.h[:, None])
    whole = ends.alpha_s if form == "x0" else -ends.alpha_s * ends.sigma_t / ends.alpha_t
    weights[single, 0, 0] = (whole * (1 - ends.ratio))[single]
    mix = None if form == "x0" else FORMS[form].mix(alpha[:, :-1], sigma[:, :-1])
    return fold(points, Slopes(keep, weights, mix), single)
