"""Heun's method."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from diffkit.core.sampler import Sampler, State
from diffkit.core.schedule import Schedule
from diffkit.standard.samplers.ends import Ends


@dataclass(frozen=True)
class Heun(Sampler):
    r"""Second order; two network calls a step, one in the step to sigma_s = 0. Deterministic.

    Heun's method for $\frac{d(x/\alpha)}{d(\sigma/\alpha)} = \frac{x - \alpha \hat x_0}{\sigma}$: a DDIM step to
    $x_s'$, then

    $$ x_s = x_s' + \frac{\alpha_s}{2} \left(\frac1q - 1\right) \left(\hat x_0(x_s', s) - \hat x_0(x_t, t)\right),
       \qquad q = \frac{\sigma_s / \alpha_s}{\sigma_t / \alpha_t} $$

    It wants many steps near the noise, where q is small (a `karras` or `logsnr` grid).
    Karras et al. 2022, Elucidating the Design Space of Diffusion-Based Generative Models.
    """

    order = 2
    calls_per_step = 2

    def steps(
        self,
        denoise: Callable[[Tensor, Tensor], Tensor],
        schedule: Schedule,
        x: Float[Tensor, " b *d"],
        times: Float[Tensor, " n"],
        noise: Callable[[Tensor], Tensor],
    ) -> Iterator[State]:
        """See `Sampler`."""
        ends = Ends.of(schedule, times)
        keep, pull = (ends.sigma_s / ends.sigma_t).tolist(), (ends.alpha_s * (1 - ends.ratio)).tolist()
        mend = (ends.alpha_s / 2 * (1 / ends.ratio - 1)).tolist()  # infinite where the ratio is 0, and not used there
        ratio, t, until = ends.ratio.tolist(), times.unbind(), times.tolist()
        for i in range(len(keep)):
            x_0 = denoise(x, t[i])
            x = (x * keep[i]).add_(x_0, alpha=pull[i])
            if ratio[i]:
                x = x.add(denoise(x, t[i + 1]), alpha=mend[i]).sub_(x_0, alpha=mend[i])
            yield State(i + 1, until[i + 1], x, x_0)
