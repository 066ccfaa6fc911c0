"""Samplers written once more, as their papers have them and in another parametrisation than diffkit's."""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

D = Callable[[Tensor, float], Tensor]
"""The denoiser of y = x / alpha at the noise level r = sigma / alpha."""


def ddim(denoise: D, x: Tensor, bars: list[float], eta: float = 0.0, noises: list[Tensor] | None = None) -> Tensor:
    """Song et al. 2020, equations 12 and 16, in alpha_bar and eps; `bars` rise to 1."""
    for i, (bar, after) in enumerate(pairwise(bars)):
        x_0 = denoise(x / bar**0.5, ((1 - bar) / bar) ** 0.5)
        eps = (x - bar**0.5 * x_0) / (1 - bar) ** 0.5
        spread = eta * ((1 - after) / (1 - bar) * (1 - bar / after)) ** 0.5
        x = after**0.5 * x_0 + (1 - after - spread**2) ** 0.5 * eps
        if noises is not None:
            x = x + spread * noises[i]
    return x


def ddpm(denoise: D, x: Tensor, bars: list[float], noises: list[Tensor], large: bool) -> Tensor:
    """Ho et al. 2020, equation 11 and algorithm 2, in beta and eps."""
    for i, (bar, after) in enumerate(pairwise(bars)):
        beta = 1 - bar / after
        x_0 = denoise(x / bar**0.5, ((1 - bar) / bar) ** 0.5)
        eps = (x - bar**0.5 * x_0) / (1 - bar) ** 0.5
        x = (x - beta / (1 - bar) ** 0.5 * eps) / (1 - beta) ** 0.5
        if after < 1:
            x = x + (beta if large else beta * (1 - after) / (1 - bar)) ** 0.5 * noises[i]
    return x


def heun(denoise: D, y: Tensor, levels: list[float]) -> Tensor:
    """Karras et al. 2022, algorithm 1, in y and r; `levels` fall to 0."""
    for r, after in pairwise(levels):
        slope = (y - denoise(y, r)) / r
        guess = y + (after - r) * slope
        if after > 0:
            slope = (slope + (guess - denoise(guess, after)) / after) / 2
        y = y + (after - r) * slope
    return y


def dpmpp_2m(denoise: D, y: Tensor, levels: list[float]) -> Tensor:
    """Lu et al. 2022, algorithm 2, in y and r, as an extrapolation of x_0 to the middle of the step."""
    before: tuple[float, Tensor] | None = None
    for r, after in pairwise(levels):
        x_0 = denoise(y, r)
        middle = x_0
        if before is not None and after > 0:
            there = torch.tensor([before[0], r, (r * after) ** 0.5], dtype=torch.float64).log()
            middle = torch.lerp(before[1], x_0, ((there[2] - there[0]) / (there[1] - there[0])).item())
        y = after / r * y + (1 - after / r) * middle
        before = (r, x_0)
    return y
