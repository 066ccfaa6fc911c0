"""Dormand and Prince's pair of Runge-Kutta methods of orders 5 and 4.

Dormand and Prince 1980, A family of embedded Runge-Kutta formulae.
"""

from collections.abc import Callable, Sequence
from math import inf

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core.errors import RunFailed

NODES = (1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
ROWS = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
ERROR = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)
"""The step of fifth order, whose end is the last node, less that of fourth."""
TRIES = 10_000


def add(y: Tensor, slopes: Sequence[Tensor], weights: Sequence[float], step: float) -> Tensor:
    """Y and the weighted slopes."""
    y = y.clone()
    for slope, weight in zip(slopes, weights, strict=True):
        if weight:
            y.add_(slope, alpha=weight * step)
    return y


def factor(worst: float) -> float:
    """By how much the next step is longer than one whose largest error was `worst` times what is allowed."""
    return min(5.0, max(0.2, 0.9 * worst**-0.2)) if 0 < worst < inf else 5.0 if worst == 0 else 0.2


def solve(
    slope: Callable[[float, Tensor], Tensor], y: Float[Tensor, " b *d"], start: float, stop: float, tolerance: float
) -> Float[Tensor, " b *d"]:
    """The solution of dy/dm = slope(m, y) at the place `stop`, from `y` at `start`.

    The error of a step is at most `tolerance` times the larger of 1 and |y|, for every number of y: what comes out for
    a row depends on the others by errors of that size. Raises `RunFailed` where the steps would have to be too short.
    """
    place, step, first = start, (stop - start) / 64, slope(start, y)
    for _ in range(TRIES):
        if abs(stop - place) <= abs(step) * 1.01:
            step = stop - place
        if place + step == place:
            break
        slopes = [first]
        for node, row in zip(NODES, ROWS, strict=True):
            guess = add(y, slopes, row, step)
            slopes.append(slope(place + node * step, guess))
        error = add(torch.zeros_like(y), slopes, ERROR, step)
        allowed = tolerance * torch.maximum(y.abs(), guess.abs()).clamp(min=1)
        worst = (error / allowed).abs().max().item()
        if worst <= 1:
            place, y, first = place + step, guess, slopes[-1]
            if place == stop:
                return y
        step *= factor(worst)
    raise RunFailed(
        f"the differential equation cannot be solved from {place:.4g} on, of {start:.4g} to {stop:.4g}: the model is "
        "not smooth, or not finite; raise the tolerance"
    )
