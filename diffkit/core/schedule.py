"""Noise schedules: how much of the data and how much noise is left at each time."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor

LOGSNR_LIMIT = 20.0
"""Networks and grids see log-SNR within plus and minus this (sigma_t / alpha_t from 4.5e-5 to 2.2e4)."""


class Schedule(ABC):
    r"""The Gaussian path from data (t = 0) to noise (t = 1).

    $$ x_t = \alpha_t x_0 + \sigma_t \varepsilon $$

    A schedule is a frozen dataclass. `sigma_0` is 0, and the log-SNR falls strictly in t, in float64 too: neither alpha
    nor sigma may be rounded to 0 between the ends. Only log-SNRs from -20 to 20 are used: where a formula's tail is
    too steep beyond, let sigma (or alpha) fall in proportion to the time that is left.
    """

    @abstractmethod
    def __call__(self, t: Float[Tensor, "*b"]) -> tuple[Float[Tensor, "*b"], Float[Tensor, "*b"]]:
        """`(alpha_t, sigma_t)` at times `t` in [0, 1], in float64."""

    def logsnr(self, t: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        """`2 * log(alpha_t / sigma_t)` in float64; infinite where one of the two is 0."""
        alpha, sigma = self(t)
        return 2 * (alpha.log() - sigma.log())

    def time(self, logsnr: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        """The last time at which the log-SNR is not below `logsnr`; 0 or 1 beyond the ends."""
        end = torch.ones_like(logsnr, dtype=torch.float64)
        return torch.where(self.logsnr(end) >= logsnr, end, self._bracket(logsnr)[0])

    def _bracket(self, logsnr: Float[Tensor, "*b"]) -> tuple[Float[Tensor, "*b"], Float[Tensor, "*b"]]:
        """Two neighbouring float64 times, before the log-SNR falls below `logsnr` and after."""
        logsnr = logsnr.double()
        # the bit patterns of times are in their order: cutting their range finds times near 0 to all their digits
        low, high = (torch.full_like(logsnr, end).view(torch.int64) for end in (0.0, 1.0))
        cuts = torch.arange(1, 16, device=logsnr.device).reshape(-1, *[1] * logsnr.ndim)
        for _ in range(17):
            step = ((high - low) >> 4).clamp(min=1)
            kept = (self.logsnr(torch.minimum(low + step * cuts, high).view(torch.float64)) >= logsnr).sum(0)
            low, high = torch.minimum(low + step * kept, high), torch.where(kept < 15, low + step * (kept + 1), high)
        return low.view(torch.float64), high.view(torch.float64)

    def span(self) -> tuple[float, float]:
        """The first and the last time at which the log-SNR is within its limit: `(just above 0, at most 1)`."""
        limit = torch.tensor(LOGSNR_LIMIT, dtype=torch.float64)
        return self._bracket(limit)[1].item(), self.time(-limit).item()

    def kernel(self, t: Float[Tensor, "*b"], s: Float[Tensor, "*b"]) -> tuple[Float[Tensor, "*b"], Float[Tensor, "*b"]]:
        r"""`(scale, std)` of the Gaussian step from x_s towards the noise, to x_t, for times s < t.

        $$ x_t = \frac{\alpha_t}{\alpha_s} x_s + \sigma_t \sqrt{1 - q^2}\, z,
           \qquad q = \frac{\sigma_s / \alpha_s}{\sigma_t / \alpha_t} $$
        """
        (alpha_t, sigma_t), (alpha_s, sigma_s) = self(t), self(s)
        ratio = sigma_s * alpha_t / (alpha_s * sigma_t)
        return alpha_t / alpha_s, sigma_t * ((1 - ratio) * (1 + ratio)).clamp(min=0).sqrt()

    def sde(self, t: Float[Tensor, "*b"]) -> tuple[Float[Tensor, "*b"], Float[Tensor, "*b"]]:
        r"""`(f, g)` of the SDE whose solution has the path's marginals, per unit of time, for t in (0, 1).

        $$ dx = f(t)\, x\, dt + g(t)\, dw, \qquad f = \frac{d}{dt} \log \alpha_t,
           \qquad g^2 = -\sigma_t^2\, \frac{d}{dt} \log\mathrm{SNR}_t $$

        By automatic differentiation; not finite at an end of time where alpha or sigma is 0.
        Song et al. 2021, Score-Based Generative Modeling through Stochastic Differential Equations.
        """
        with torch.inference_mode(False), torch.enable_grad():
            t = t.detach().clone().requires_grad_()
            alpha, sigma = self(t)
            logs = [a.log() + 0 * t for a in (alpha, sigma)]  # alpha may be constant
            of_alpha, of_sigma = (torch.autograd.grad(log.sum(), t, retain_graph=True)[0] for log in logs)
        return of_alpha, sigma.detach() * (2 * (of_sigma - of_alpha)).sqrt()
