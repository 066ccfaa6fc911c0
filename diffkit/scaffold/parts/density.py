"""A triangular density of training times."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core import Fraction, Schedule, TimeDensity


@dataclass(frozen=True)
class MyDensity(TimeDensity):
    r"""Times whose density rises in a straight line to a peak, and falls in one.

    $$ p(t) = 2 t / c \quad (t < c), \qquad p(t) = 2 (1 - t) / (1 - c) \quad (t \ge c) $$

    with c = `peak`. The map from uniform numbers u to times is the inverse of its distribution function, which is
    t²/c up to c, and 1 - (1 - t)²/(1 - c) from there.
    """

    peak: Fraction = 0.5

    def __call__(self, schedule: Schedule, u: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
        """See `TimeDensity`."""
        rising = (self.peak * u).sqrt()
        falling = 1 - ((1 - self.peak) * (1 - u)).sqrt()
        return torch.where(u < self.peak, rising, falling)
