"""The midpoint method."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from diffkit.core.sampler import Denoiser, Draw, Rows, Sampler, State, Times
from diffkit.core.schedule import Schedule
from diffkit.standard.samplers.runge_kutta import MIDPOINT, runge_kutta
from diffkit.standard.samplers.stages import single_step


@dataclass(frozen=True)
class Midpoint(Sampler):
    r"""Second order; two network calls a step. Deterministic.

    $$ y_m = y_t + \frac{m_s - m_t}{2} F_t, \qquad y_s = y_t + (m_s - m_t)\, F_m, \qquad y = x / n $$

    in the coordinates of a `form`: `v`, with the angle m = atan(sigma / alpha); `flow`, with
    m = sigma / (alpha + sigma); `eps`, with m = sigma / alpha. It keeps its order in the step to sigma_s = 0.
    (With the node in the middle of log(sigma / alpha) it is `dpm_2s`.)
    Hairer, Norsett and Wanner 1993, Solving Ordinary Differential Equations I, section II.1.
    """

    form: Literal["eps", "v", "flow"] = "v"

    order = 2
    calls_per_step = 2

    def steps(self, denoise: Denoiser, schedule: Schedule, x: Rows, times: Times, noise: Draw) -> Iterator[State]:
        """See `Sampler`."""
        return single_step(denoise, x, times, noise, runge_kutta(self.form, schedule, times, MIDPOINT))
