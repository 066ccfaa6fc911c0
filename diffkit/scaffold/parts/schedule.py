"""A schedule between the straight path and the circle."""

from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core import Range, Schedule


@dataclass(frozen=True)
class MySchedule(Schedule):
    r"""Alpha and sigma on a curve between a straight line and a circle.

    $$ \alpha_t^p + \sigma_t^p = 1, \qquad \sigma_t = t $$

    With the power p = 1 it is the straight path of flow matching; with 2 the variance is preserved.
    """

    power: Annotated[float, Range(1, 4)] = 1.5

    def __call__(self, t: Float[Tensor, "*b"]) -> tuple[Float[Tensor, "*b"], Float[Tensor, "*b"]]:
        """See `Schedule`."""
        t = t.double()
        rest = -torch.expm1(self.power * t.log())  # 1 - t^p, with all its digits also where t is nearly 1
        return rest ** (1 / self.power), t
