"""A model seen as a differential equation: the probability flow, and the SDEs that run back to the data."""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

from diffkit.core.schedule import Schedule


def reverse_sde(
    schedule: Schedule,
    score: Callable[[Tensor, Tensor], Tensor],
    x_t: Float[Tensor, " b *d"],
    t: Float[Tensor, ""],
    eta: float = 1.0,
) -> tuple[Float[Tensor, " b *d"], float]:
    r"""The drift at `x_t`, and the diffusion, of an SDE that goes through the path's marginals as t falls.

    $$ dx = \left( f x_t - \frac{1 + \eta^2}{2}\, g^2\, \nabla \log p_t(x_t) \right) dt + \eta\, g\, d\bar w $$

    with f and g of `Schedule.sde`, and `score(x_t, t)` of a model or an oracle. Any `eta` has the same marginals: 0 is
    the probability-flow ODE, 1 the reverse of the forward SDE. The drift is per unit of time, for a step dt below 0.
    `t` is on the CPU in float64, in (0, 1).
    Anderson 1982, Reverse-Time Diffusion Equation Models; Song et al. 2021, Score-Based Generative Modeling through
    Stochastic Differential Equations.
    """
    f, g = (c.item() for c in schedule.sde(t))
    return f * x_t - (1 + eta**2) / 2 * g**2 * score(x_t, t), eta * g
