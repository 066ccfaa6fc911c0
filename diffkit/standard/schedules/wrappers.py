"""Schedules that change another one."""

from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core.schedule import LOGSNR_LIMIT, Schedule
from diffkit.core.types import Range
from diffkit.standard.schedules.chain import Linear
from diffkit.standard.schedules.continuous import Cosine
from diffkit.standard.schedules.preserving import from_logsnr


@dataclass(frozen=True)
class Shifted(Schedule):
    r"""The log-SNR of another schedule plus a constant; below 0 there is more noise at each time.

    $$ \log\mathrm{SNR}_t = \log\mathrm{SNR}_t^\mathrm{base} + c $$

    for c = `logsnr_shift`. Pictures d times as wide as those that the base suits want $-2 \log d$; the default is for
    d = 2. The path is variance-preserving, whatever the base is.
    Hoogeboom et al. 2023, Simple Diffusion: End-to-End Diffusion for High Resolution Images.
    """

    base: Schedule = Cosine()
    logsnr_shift: Annotated[float, Range(-LOGSNR_LIMIT, LOGSNR_LIMIT)] = -1.386

    def __call__(self, t: Float[Tensor, "*b"]) -> tuple[Float[Tensor, "*b"], Float[Tensor, "*b"]]:
        """See `Schedule`."""
        return from_logsnr(self.base.logsnr(t) + self.logsnr_shift)


@dataclass(frozen=True)
class ZeroSnr(Schedule):
    r"""Another schedule with alpha moved and stretched so that no signal is left at t = 1.

    $$ \alpha_t = \frac{a_t - a_1}{a_0 - a_1}, \qquad \sigma_t^2 = 1 - \alpha_t^2 $$

    where $a_t$ is the base's alpha, in its variance-preserving form; so is the path. A prediction of the noise says
    nothing of the data at t = 1: a model is asked at a log-SNR of -20 at the lowest there, where an error of `eps` is
    22,000 times as large in x_0, and a run whose grid starts there is refused. `v`, `x0` and `flow` are at home here.
    Lin et al. 2023, Common Diffusion Noise Schedules and Sample Steps are Flawed.
    """

    base: Schedule = Linear()

    def __call__(self, t: Float[Tensor, "*b"]) -> tuple[Float[Tensor, "*b"], Float[Tensor, "*b"]]:
        """See `Schedule`."""
        a, b = from_logsnr(self.base.logsnr(t))
        end, rest = from_logsnr(self.base.logsnr(torch.ones_like(t)))
        missing = b.square() / (1 + a) * (1 + end) / rest.square()  # 1 - alpha_t without its cancellation
        return ((a - end) / (1 - end)).clamp(min=0), (missing * (2 - missing)).sqrt()
