"""Euler's method."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from diffkit.core.sampler import Denoiser, Draw, Rows, Sampler, State, Times
from diffkit.core.schedule import Schedule
from diffkit.standard.samplers.runge_kutta import EULER, runge_kutta
from diffkit.standard.samplers.stages import single_step


@dataclass(frozen=True)
class Euler(Sampler):
    r"""First order; one network call a step. Deterministic.

    $$ \frac{x_s}{n_s} = \frac{x_t}{n_t} + (m_s - m_t)\, F $$

    in the coordinates of a `form`: `eps`, with m = sigma / alpha, is `ddim`; `v`, with the angle
    m = atan(sigma / alpha); `flow`, with m = sigma / (alpha + sigma), is that of rectified flows.
    Karras et al. 2022, Elucidating the Design Space of Diffusion-Based Generative Models; Liu et al. 2022, Flow
    Straight and Fast: Learning to Generate and Transfer Data with Rectified Flow.
    """

    form: Literal["eps", "v", "flow"] = "flow"

    order = 1

    def steps(self, denoise: Denoiser, schedule: Schedule, x: Rows, times: Times, noise: Draw) -> Iterator[State]:
        """See `Sampler`."""
        return single_step(denoise, x, times, noise, runge_kutta(self.form, schedule, times, EULER))
