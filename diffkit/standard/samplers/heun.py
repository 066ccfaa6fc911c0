"""Heun's method."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from diffkit.core.sampler import Denoiser, Draw, Rows, Sampler, State, Times
from diffkit.core.schedule import Schedule
from diffkit.standard.samplers.runge_kutta import HEUN, runge_kutta
from diffkit.standard.samplers.stages import single_step


@dataclass(frozen=True)
class Heun(Sampler):
    r"""Second order; two network calls a step, one in the step to sigma_s = 0. Deterministic.

    $$ y_s' = y_t + (m_s - m_t)\, F_t, \qquad y_s = y_t + \frac{m_s - m_t}{2} (F_t + F_s'), \qquad y = x / n $$

    in the coordinates of a `form`: `eps`, with m = sigma / alpha, is that of Karras et al.; `v`, with the angle
    m = atan(sigma / alpha); `flow`, with m = sigma / (alpha + sigma). With `eps` it wants many steps near the noise,
    where each is to divide sigma / alpha by little (a `karras` or `logsnr` grid).
    Karras et al. 2022, Elucidating the Design Space of Diffusion-Based Generative Models.
    """

    form: Literal["eps", "v", "flow"] = "eps"

    order = 2
    calls_per_step = 2

    def steps(self, denoise: Denoiser, schedule: Schedule, x: Rows, times: Times, noise: Draw) -> Iterator[State]:
        """See `Sampler`."""
        return single_step(denoise, x, times, noise, runge_kutta(self.form, schedule, times, HEUN))
