"""Both ends of every step of a sampler."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core.schedule import Schedule


@dataclass(frozen=True)
class Ends:
    """`alpha` and `sigma` at both ends of every step from t to s < t, in float64."""

    alpha_t: Float[Tensor, " n"]
    sigma_t: Float[Tensor, " n"]
    alpha_s: Float[Tensor, " n"]
    sigma_s: Float[Tensor, " n"]

    @classmethod
    def of(cls, schedule: Schedule, times: Float[Tensor, " m"]) -> "Ends":
        """The ends of the steps between neighbouring `times`."""
        alpha, sigma = schedule(times)
        return cls(alpha[:-1], sigma[:-1], alpha[1:], sigma[1:])

    @property
    def ratio(self) -> Float[Tensor, " n"]:
        r"""$q = \frac{\sigma_s / \alpha_s}{\sigma_t / \alpha_t}$: below 1; 0 from alpha_t = 0 and to sigma_s = 0.

        It is all that a step depends on, beside the scale of x at its ends.
        """
        return self.sigma_s * self.alpha_t / (self.alpha_s * self.sigma_t)

    @property
    def h(self) -> Float[Tensor, " n"]:
        r"""The step in $\lambda = \log(\alpha / \sigma)$, half the log-SNR; infinite where sigma_s is 0."""
        return -self.ratio.log()

    def ancestral(self, eta: float) -> tuple["Ends", Float[Tensor, " n"]]:
        r"""Steps that go further, and the noise that brings them back to s: of the levels' squares, an eta^2 part.

        $$ n = \eta\, \sigma_s \sqrt{1 - q^2}, \qquad \sigma_s' = \sqrt{\sigma_s^2 - n^2} $$

        What the exact step reaches at $\sigma_s'$ has, with the noise n z, the distribution of x_s. At `eta` 1 that
        is DDPM's amount of noise.
        """
        fresh = eta**2 * (1 - self.ratio) * (1 + self.ratio)
        return replace(self, sigma_s=self.sigma_s * (1 - fresh).sqrt()), self.sigma_s * fresh.sqrt()

    def between(self, schedule: Schedule, share: float) -> tuple[Float[Tensor, " n"], "Ends"]:
        """Times within the steps, that `share` of the way in lambda, and the steps' beginnings up to there.

        Where a step ends at sigma_s = 0 there is no such time: it is t itself.
        """
        whole = self.h
        logsnr = 2 * (self.alpha_t.log() - self.sigma_t.log() + share * torch.where(whole.isfinite(), whole, 0.0))
        times = schedule.time(logsnr)
        alpha, sigma = schedule(times)
        return times, replace(self, alpha_s=alpha, sigma_s=sigma)
