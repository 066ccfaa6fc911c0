"""DDIM."""

from collections.abc import Iterator
from dataclasses import dataclass

from diffkit.core.sampler import Denoiser, Draw, Rows, Sampler, State, Times
from diffkit.core.schedule import Schedule
from diffkit.core.types import Fraction
from diffkit.standard.samplers.ends import Ends
from diffkit.standard.samplers.multistep import Table, multistep


@dataclass(frozen=True)
class Ddim(Sampler):
    r"""First order; one network call a step. Deterministic at `eta` 0; at 1 it is `ddpm` with the small variance.

    $$ x_s = \alpha_s \hat x_0 + \sqrt{\sigma_s^2 - n^2}\, \hat\varepsilon + n z,
       \qquad n = \eta\, \sigma_s \sqrt{1 - q^2}, \qquad q = \frac{\sigma_s / \alpha_s}{\sigma_t / \alpha_t} $$

    At `eta` 0 it is exponential Euler, and Euler's method for $d(x/\alpha) / d(\sigma/\alpha)$.
    Song et al. 2020, Denoising Diffusion Implicit Models.
    """

    eta: Fraction = 0.0

    order = 1

    def steps(self, denoise: Denoiser, schedule: Schedule, x: Rows, times: Times, noise: Draw) -> Iterator[State]:
        """See `Sampler`."""
        to, spread = Ends.of(schedule, times).ancestral(self.eta)
        table = Table(to.sigma_s / to.sigma_t, (to.alpha_s * (1 - to.ratio))[:, None], spread=spread)
        return multistep(denoise, x, times, noise, table)
