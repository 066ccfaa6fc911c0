"""DDIM."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from diffkit.core.sampler import Sampler, State
from diffkit.core.schedule import Schedule
from diffkit.core.types import Fraction
from diffkit.standard.samplers.multistep import Ends, multistep


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
        fresh = self.eta**2 * (1 - ends.ratio) * (1 + ends.ratio)
        kept = (1 - fresh).sqrt()
        pull = ends.alpha_s * (1 - ends.ratio * kept)
        keep = ends.sigma_s / ends.sigma_t * kept
        return multistep(denoise, x, times, noise, keep, pull[:, None], ends.sigma_s * fresh.sqrt())
