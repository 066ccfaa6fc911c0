"""Predictor-corrector sampling."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from diffkit.core.sampler import Denoiser, Draw, Rows, Sampler, State, Times
from diffkit.core.schedule import Schedule
from diffkit.core.types import Natural, Positive, expand
from diffkit.standard.samplers.ends import Ends


@dataclass(frozen=True)
class PredictorCorrector(Sampler):
    r"""Stochastic; a call for the predictor, and one for each of the `corrections`. A predictor of first order.

    A step of the reverse SDE, then Langevin steps at the level that it leads to:

    $$ x \leftarrow \frac{\sigma_s}{\sigma_t} q\, x + \alpha_s (1 - q^2)\, \hat x_0 + n z, \qquad
       q = \frac{\sigma_s / \alpha_s}{\sigma_t / \alpha_t} $$

    $$ x \leftarrow x + 2 \delta^2 (\alpha_s \hat x_0 - x) + 2 \delta \sigma_s z, \qquad
       \delta = \mathrm{snr}\, \frac{\sigma_s |z|}{|\alpha_s \hat x_0 - x|} $$

    with the norms of each row, so that a sample does not depend on its batch. The predictor's noise is that of the
    forward step, $n = \alpha_s \frac{\sigma_t}{\alpha_t} \sqrt{1 - q^2}$ (`reverse_diffusion`), or the posterior's,
    $n = \sigma_s \sqrt{1 - q^2}$ (`ancestral`). In the step to sigma_s = 0 there is neither noise nor correction.
    Langevin steps of this length leave the noise in x_s too wide, by about snr^2 of its variance, however many steps.
    Song et al. 2021, Score-Based Generative Modeling through Stochastic Differential Equations, algorithms 2 to 5.
    """

    predictor: Literal["reverse_diffusion", "ancestral"] = "reverse_diffusion"
    corrections: Natural = 1
    snr: Positive = 0.16

    order = 1

    @property
    def calls_per_step(self) -> int:  # type: ignore[override]
        """One, and the corrections."""
        return 1 + self.corrections

    def steps(self, denoise: Denoiser, schedule: Schedule, x: Rows, times: Times, noise: Draw) -> Iterator[State]:
        """See `Sampler`."""
        ends = Ends.of(schedule, times)
        fresh = (1 - ends.ratio) * (1 + ends.ratio)
        level = ends.sigma_s if self.predictor == "ancestral" else ends.alpha_s * ends.sigma_t / ends.alpha_t
        keep, pull = (ends.ratio * ends.sigma_s / ends.sigma_t).tolist(), (ends.alpha_s * fresh).tolist()
        stds, alpha, sigma = (column.tolist() for column in (level * fresh.sqrt(), ends.alpha_s, ends.sigma_s))
        t, until = times.unbind(), times.tolist()
        for i in range(len(keep)):
            x_0 = denoise(x, t[i])
            x = (x * keep[i]).add_(x_0, alpha=pull[i])
            if sigma[i]:
                x.add_(noise(x), alpha=stds[i])
                for _ in range(self.corrections):
                    x = self._corrected(x, denoise(x, t[i + 1]), noise(x), alpha[i], sigma[i])
            yield State(i + 1, until[i + 1], x, x_0)

    def _corrected(self, x: Tensor, x_0: Tensor, z: Tensor, alpha: float, sigma: float) -> Tensor:
        """One Langevin step from x."""
        away = (x_0 * alpha).sub_(x)
        norm, of_noise, of_x = (torch.linalg.vector_norm(v.flatten(1), dim=1) for v in (away, z, x))
        norm = norm.maximum(torch.finfo(x.dtype).eps * of_x)  # what is less than x's rounding may be 0
        delta = expand(self.snr * sigma * of_noise / norm, x)
        return x.addcmul(away, delta.square(), value=2).addcmul_(z, delta, value=2 * sigma)
