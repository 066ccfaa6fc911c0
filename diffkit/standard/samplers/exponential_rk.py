"""Exponential Runge-Kutta methods."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from diffkit.core.sampler import Denoiser, Draw, Rows, Sampler, State, Times
from diffkit.core.schedule import Schedule
from diffkit.standard.samplers.exponential import COX_MATTHEWS, KROGSTAD, exponential
from diffkit.standard.samplers.stages import single_step


@dataclass(frozen=True)
class ExponentialRk(Sampler):
    r"""Of the given `order`, at as many network calls a step; one in the step to sigma_s = 0. Deterministic.

    $$ \frac{d}{d\lambda} \frac{x}{\sigma} = e^\lambda\, \hat x_0, \qquad \lambda = \log \frac{\alpha}{\sigma} $$

    where the answers x_0 within a step, to its end, are integrated against the exponential exactly: order 3 is Cox and
    Matthews' ETD3RK, order 4 is Krogstad's ETDRK4-B.
    Cox and Matthews 2002, Exponential Time Differencing for Stiff Systems; Krogstad 2005, Generalized Integrating
    Factor Methods for Stiff PDEs.
    """

    order: Literal[3, 4] = 3

    @property
    def calls_per_step(self) -> int:  # type: ignore[override]
        """As many as its order."""
        return self.order

    def steps(self, denoise: Denoiser, schedule: Schedule, x: Rows, times: Times, noise: Draw) -> Iterator[State]:
        """See `Sampler`."""
        method = COX_MATTHEWS if self.order == 3 else KROGSTAD
        return single_step(denoise, x, times, noise, exponential("x0", schedule, times, method))
