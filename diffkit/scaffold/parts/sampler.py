"""Ralston's method."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from diffkit.core import Denoiser, Draw, Rows, Sampler, Schedule, State, Times


@dataclass(frozen=True)
class MySampler(Sampler):
    r"""Second order; two network calls a step. Deterministic.

    With y = x / alpha and m = sigma / alpha the probability flow is dy/dm = eps, the noise that the denoiser sees in x.

    $$ y_u = y_t + \tfrac23 (m_s - m_t)\, \varepsilon_t, \qquad
       y_s = y_t + (m_s - m_t) \left( \tfrac14 \varepsilon_t + \tfrac34 \varepsilon_u \right) $$

    Ralston 1962, Runge-Kutta Methods with Minimum Error Bounds.
    """

    order = 2
    calls_per_step = 2

    def steps(self, denoise: Denoiser, schedule: Schedule, x: Rows, times: Times, noise: Draw) -> Iterator[State]:
        """See `Sampler`."""
        for step, (t, s) in enumerate(pairwise(times), 1):
            (alpha_t, sigma_t), (alpha_s, sigma_s) = schedule(t), schedule(s)
            m_t, m_s = sigma_t / alpha_t, sigma_s / alpha_s
            x_0 = denoise(x, t)
            eps_t = (x / alpha_t - x_0) / m_t
            m_u = m_t + 2 / 3 * (m_s - m_t)
            u = schedule.time(-2 * m_u.log())
            y_u = x / alpha_t + (m_u - m_t) * eps_t
            eps_u = (y_u - denoise(schedule(u)[0] * y_u, u)) / m_u
            x = alpha_s * (x / alpha_t + (m_s - m_t) * (eps_t / 4 + 3 / 4 * eps_u))
            yield State(step, s.item(), x, x_0)
