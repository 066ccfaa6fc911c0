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

    A schedule is a frozen dataclass. `sigma_0` is 0, and the log-SNR falls strictly in t.
    """

    @abstractmethod
    def __call__(self, t: Float[Tensor, "*b"]) -> tuple[Float[Tensor, "*b"], Float[Tensor, "*b"]]:
        """`(alpha_t, sigma_t)` at times `t` in [0, 1], in float64."""

    def logsnr(self, t: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        """`2 * log(alpha_t / sigma_t)` in float64; infinite where one of the two is 0."""
        alpha, sigma = self(t)
        return 2 * (alpha.log() - sigma.log())

    def time(self, logsnr: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        """The time at which the log-SNR is `logsnr`, by bisection to float64 precision; 0 or 1 beyond the ends."""
        logsnr = logsnr.double()
        low, high = torch.zeros_like(logsnr), torch.ones_like(logsnr)
        for _ in range(64):
            middle = (low + high) / 2
            noisier = self.logsnr(middle) < logsnr
            low, high = torch.where(noisier, low, middle), torch.where(noisier, middle, high)
        return torch.where(self.logsnr(torch.ones_like(logsnr)) >= logsnr, torch.ones_like(low), (low + high) / 2)

    def span(self) -> tuple[float, float]:
        """The first and the last time at which the log-SNR is within its limit: `(just above 0, at most 1)`."""
        first, last = self.time(torch.tensor([LOGSNR_LIMIT, -LOGSNR_LIMIT], dtype=torch.float64)).tolist()
        return first, last
