"""EDM's stochastic sampler."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from diffkit.core.sampler import Denoiser, Draw, Rows, Sampler, State, Times
from diffkit.core.schedule import LOGSNR_LIMIT, Schedule
from diffkit.core.types import NonNegative, Positive
from diffkit.standard.samplers.ends import Ends, times_at
from diffkit.standard.samplers.runge_kutta import HEUN, runge_kutta
from diffkit.standard.samplers.stages import single_step


@dataclass(frozen=True)
class EdmSampler(Sampler):
    r"""Second order in distribution; two network calls a step, one in the step to sigma_s = 0. Stochastic.

    Before each of N steps noise is added, which raises the noise level r = sigma / alpha; then comes a step of `heun`
    from there, of form `eps`:

    $$ \hat r = (1 + \gamma)\, r_t, \qquad
       \frac{x_{\hat t}}{\alpha_{\hat t}} = \frac{x_t}{\alpha_t} + s \sqrt{\hat r^2 - r_t^2}\, z, \qquad
       \gamma = \min\left(\frac{\mathrm{churn}}{N}, \sqrt 2 - 1\right) $$

    where r_t is from `level_min` to `level_max`, else gamma is 0. The deviation s of the noise, `s_noise`, is 1 where
    the model is exact; a little more makes up for detail that it removes. The level is not raised above the
    schedule's last.
    Karras et al. 2022, Elucidating the Design Space of Diffusion-Based Generative Models, algorithm 2.
    """

    churn: NonNegative = 1.0
    level_min: NonNegative = 0.05
    level_max: Positive = 50.0
    s_noise: Positive = 1.0

    order = 2
    calls_per_step = 2

    def steps(self, denoise: Denoiser, schedule: Schedule, x: Rows, times: Times, noise: Draw) -> Iterator[State]:
        """See `Sampler`."""
        ends = Ends.of(schedule, times)
        level = ends.sigma_t / ends.alpha_t
        gamma = min(self.churn / len(level), 2**0.5 - 1)
        churned = (level >= self.level_min) & (level <= self.level_max) & (gamma > 0)
        logsnr = (-2 * ((1 + gamma) * level).log()).clamp(min=-LOGSNR_LIMIT)
        raised = torch.where(churned, torch.maximum(times_at(schedule, logsnr), times[:-1]), times[:-1])
        alpha, sigma = schedule(raised)
        scale, std = schedule.kernel(raised, times[:-1])
        stages = runge_kutta("eps", schedule, times, HEUN, replace(ends, alpha_t=alpha, sigma_t=sigma))
        asked = torch.stack([raised, stages.times[:, 1]], 1)
        churned_stages = replace(stages, times=asked, churn=(scale, self.s_noise * std))
        return single_step(denoise, x, times, noise, churned_stages)
