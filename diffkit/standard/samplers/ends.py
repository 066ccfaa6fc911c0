"""Both ends of every step of a sampler."""

from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core.schedule import Schedule


def times_at(schedule: Schedule, logsnr: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """`schedule.time`, remembered: all batches of a run walk one grid, and its inner times cost more than its steps."""
    found = _times_at(schedule, tuple(logsnr.flatten().tolist()))
    return torch.tensor(found, dtype=torch.float64).reshape(logsnr.shape)


@lru_cache(maxsize=32)
def _times_at(schedule: Schedule, logsnr: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(schedule.time(torch.tensor(logsnr, dtype=torch.float64)).tolist())


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

    def logsnr(self, shares: Float[Tensor, " k"]) -> Float[Tensor, "n k"]:
        """The log-SNR at `shares` of the way in lambda; that at t all the way where a step ends at sigma_s = 0."""
        whole = torch.where(self.h.isfinite(), self.h, 0.0)
        return 2 * ((self.alpha_t.log() - self.sigma_t.log())[:, None] + whole[:, None] * shares)
