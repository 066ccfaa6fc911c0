r"""Forms of the probability-flow ODE: the coordinates in which one of the model's answers is its whole slope.

For the scale n and the place m of each form,

$$ \frac{d (x / n)}{d m} = F, \qquad F = a\, x + b\, \hat x_0 $$

so that where F is constant a step is exact, whatever its length.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Levels = Float[Tensor, "*n"]
"""alpha or sigma, in float64."""
FormName = Literal["x0", "eps", "v", "flow"]
"""Which answer of the model is a form's slope; named as the predictions."""


@dataclass(frozen=True)
class Form:
    """One form: its scale n, its place m, and the factors a and b, from alpha and sigma above 0."""

    scale: Callable[[Levels, Levels], Levels]
    place: Callable[[Levels, Levels], Levels]
    mix: Callable[[Levels, Levels], tuple[Levels, Levels]]
    level: Callable[[Levels], Levels]
    """The noise level sigma / alpha at a place."""


def _hypot(alpha: Levels, sigma: Levels) -> Levels:
    return torch.hypot(alpha, sigma)


FORMS: dict[FormName, Form] = {
    # exponential integrators: DPM-Solver++
    "x0": Form(
        lambda a, s: s,
        lambda a, s: a / s,
        lambda a, s: (torch.zeros_like(a), torch.ones_like(a)),
        lambda place: 1 / place,
    ),
    # the variance-exploding ODE: DDIM, EDM
    "eps": Form(lambda a, s: a, lambda a, s: s / a, lambda a, s: (1 / s, -a / s), lambda place: place),
    # the angle of a variance-preserving path
    "v": Form(
        _hypot, lambda a, s: torch.atan2(s, a), lambda a, s: (a / s / _hypot(a, s), -_hypot(a, s) / s), torch.tan
    ),
    # the straight path
    "flow": Form(
        lambda a, s: a + s,
        lambda a, s: s / (a + s),
        lambda a, s: (1 / s, -(a + s) / s),
        lambda place: place / (1 - place),
    ),
}
