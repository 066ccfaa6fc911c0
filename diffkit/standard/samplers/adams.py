r"""Adams methods: the polynomial through the last slopes, integrated over a step.

$$ x_s = \mathrm{keep}\, x_t + \sum_j w_j F^{(-j)}, \qquad
   w_j = n_s \int_t^s \prod_{l \ne j} \frac{p - p_l}{p_j - p_l}\, d m $$

for a polynomial in the variable p: the form's own place m (Adams-Bashforth, Adams-Moulton), or
$\lambda = \log(\alpha / \sigma)$ (exponential integrators).
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.standard.samplers.ends import Ends
from diffkit.standard.samplers.forms import FORMS, FormName
from diffkit.standard.samplers.multistep import Table


@dataclass(frozen=True)
class Measure:
    """How a slope adds to x_s over each of n steps: what is integrated against, and the polynomial's variable."""

    keep: Float[Tensor, " n"]
    whole: Float[Tensor, " n"]
    """The weight of a slope that does not change."""
    place: Float[Tensor, " n+1"]
    """The variable at the n + 1 times; it may be infinite at the last."""
    points: Float[Tensor, "n q"]
    """Points of a quadrature within each step, in that variable."""
    weights: Float[Tensor, "n q"]


@lru_cache(maxsize=4)
def gauss(points: int) -> tuple[Float[Tensor, " q"], Float[Tensor, " q"]]:
    """The Gauss-Legendre rule on [0, 1]."""
    x, w = np.polynomial.legendre.leggauss(points)
    return torch.from_numpy((x + 1) / 2), torch.from_numpy(w / 2)


def in_place(form: FormName, ends: Ends) -> Measure:
    """Polynomials in the form's own place: exact with few points."""
    u, w = gauss(4)
    shape = FORMS[form]
    scale_s = shape.scale(ends.alpha_s, ends.sigma_s)
    first, last = shape.place(ends.alpha_t, ends.sigma_t), shape.place(ends.alpha_s, ends.sigma_s)
    whole = scale_s * (last - first)
    points = first[:, None] + (last - first)[:, None] * u
    place = torch.cat([first, last[-1:]])
    return Measure(scale_s / shape.scale(ends.alpha_t, ends.sigma_t), whole, place, points, whole[:, None] * w)


def in_lambda(form: FormName, ends: Ends, rate: float = 1.0) -> Measure:
    r"""Polynomials in lambda against its exponential: forms `x0` and `eps`.

    For `x0`, a `rate` g above 1 is that of the SDE with noise: the weight is $\alpha_s g e^{-g (\lambda_s - \lambda)}$,
    and x_t is kept less.
    """
    u, w = gauss(64)
    h, level = ends.h, ends.sigma_t / ends.alpha_t
    finite = torch.where(h.isfinite(), h, 0.0)[:, None]
    start = ends.alpha_t.log() - ends.sigma_t.log()
    place, points = torch.cat([start, start[-1:] + h[-1:]]), start[:, None] + finite * u
    if form == "eps":
        whole, falls = -ends.alpha_s * level * (1 - ends.ratio), torch.exp(-finite * u)
        weights = -(ends.alpha_s * level)[:, None] * finite * falls * w
        return Measure(ends.alpha_s / ends.alpha_t, whole, place, points, weights)
    keep = ends.sigma_s / ends.sigma_t * torch.exp((1 - rate) * finite[:, 0])
    whole = -ends.alpha_s * torch.expm1(-rate * h)
    weights = (ends.alpha_s * rate)[:, None] * finite * torch.exp(-rate * finite * (1 - u)) * w
    return Measure(keep, whole, place, points, weights)


def adams(
    measure: Measure,
    order: int,
    corrector: int = 0,
    mix: tuple[Float[Tensor, " n"], Float[Tensor, " n"]] | None = None,
    spread: Float[Tensor, " n"] | None = None,
) -> Table:
    r"""The polynomial through the last `order` slopes; fewer in the first steps, one in a step of infinite length.

    With a `corrector`, each slope found at a predicted state also mends that state: the step that led to it is
    made again with the polynomial through `corrector` slopes, that one included. The slope is not asked for again
    (mode PEC). Since both polynomials' steps are linear in the slopes, the next step can start from the state that
    was predicted and add what mends it: one table does both.
    """
    predict = _weights(measure, order, 0)
    if not corrector:
        return Table(measure.keep, predict, mix, spread)
    width = max(order + 1, corrector)
    pull = torch.zeros(len(predict), width, dtype=torch.float64)
    pull[:, :order] = predict
    mend = _weights(measure, corrector, 1)[:-1]
    pull[1:, :corrector] += measure.keep[1:, None] * mend
    pull[1:, 1 : order + 1] -= measure.keep[1:, None] * predict[:-1]
    return Table(measure.keep, pull, mix, spread)


def _weights(measure: Measure, order: int, ahead: int) -> Float[Tensor, "n k"]:
    """Each step's weights of the slopes at its beginning (`ahead` 0) or end (1) and before, as many as there are."""
    n = len(measure.keep)
    weights = torch.zeros(n, order, dtype=torch.float64)
    row = torch.arange(n)
    known = (row + 1 + ahead).clamp(max=order)
    known = torch.where(measure.place[1:].isfinite(), known, 1)
    weights[known == 1, 0] = measure.whole[known == 1]
    for k in range(2, order + 1):
        rows = row[known == k]
        nodes = torch.stack([measure.place[rows + ahead - j] for j in range(k)], 1)
        weights[rows, :k] = _lagrange(nodes, measure.points[rows], measure.weights[rows])
    return weights


def _lagrange(
    nodes: Float[Tensor, "n k"], points: Float[Tensor, "n q"], weights: Float[Tensor, "n q"]
) -> Float[Tensor, "n k"]:
    """The integral of each node's Lagrange polynomial."""
    integrals = []
    for j in range(nodes.shape[1]):
        value = weights
        for other in range(nodes.shape[1]):
            if other != j:
                value = value * (points - nodes[:, [other]]) / (nodes[:, [j]] - nodes[:, [other]])
        integrals.append(value.sum(1))
    return torch.stack(integrals, 1)
