"""Methods of Runge and Kutta in each form, as they are read in textbooks, on one path for each form."""

from collections.abc import Callable
from itertools import pairwise
from math import atan, cos, sin, tan

import pytest
import torch
from standard.samplers.walks import LEVELS, close, denoise, draws, start, walk
from torch import Tensor

from diffkit.core.sampler import Sampler
from diffkit.standard.samplers.ddim import Ddim
from diffkit.standard.samplers.euler import Euler
from diffkit.standard.samplers.euler_ancestral import EulerAncestral
from diffkit.standard.samplers.heun import Heun
from diffkit.standard.samplers.midpoint import Midpoint

Slope = Callable[[float, Tensor], Tensor]


def exploding(r: float, y: Tensor) -> Tensor:
    """x = x_0 + r eps, in r."""
    return (y - denoise(y, r)) / r


def turning(angle: float, x: Tensor) -> Tensor:
    """x = cos x_0 + sin eps, in the angle."""
    x_0 = denoise(x / cos(angle), tan(angle))
    return cos(angle) * (x - cos(angle) * x_0) / sin(angle) - sin(angle) * x_0


def straight(t: float, x: Tensor) -> Tensor:
    """x = (1 - t) x_0 + t eps, in t."""
    x_0 = denoise(x / (1 - t), t / (1 - t))
    return (x - x_0) / t


PATHS = {
    # the slope, alpha, the place of a level
    "eps": (exploding, lambda r: 1.0, lambda r: r),
    "v": (turning, lambda angle: cos(angle), lambda r: atan(r)),
    "flow": (straight, lambda t: 1 - t, lambda r: r / (1 + r)),
}


def euler(f: Slope, a: float, b: float, x: Tensor) -> Tensor:
    return x + (b - a) * f(a, x)


def heun(f: Slope, a: float, b: float, x: Tensor) -> Tensor:
    first = f(a, x)
    return x + (b - a) * (first if b == 0 else (first + f(b, x + (b - a) * first)) / 2)


def midpoint(f: Slope, a: float, b: float, x: Tensor) -> Tensor:
    return x + (b - a) * f((a + b) / 2, x + (b - a) / 2 * f(a, x))


@pytest.mark.parametrize("form", PATHS)
@pytest.mark.parametrize(("sampler", "step"), [(Euler, euler), (Heun, heun), (Midpoint, midpoint)])
def test_update(sampler: Callable[[str], Sampler], step: Callable[..., Tensor], form: str) -> None:
    slope, alpha, place = PATHS[form]
    y, wanted = start(), []
    for r, s in pairwise(LEVELS):
        a, b = place(r), place(s)
        y = step(slope, a, b, y * alpha(a)) / alpha(b)
        wanted.append(y)
    close(walk(sampler(form)), wanted)


def test_euler_in_the_noise_is_ddim() -> None:
    close(walk(Euler("eps")), walk(Ddim()))


@pytest.mark.parametrize("eta", [0.4, 1.0])
def test_euler_ancestral_in_the_noise_is_ddim_with_its_eta(eta: float) -> None:
    close(walk(EulerAncestral("eps", eta), draws(3)), walk(Ddim(eta), draws(3)))


@pytest.mark.parametrize("form", PATHS)
def test_euler_ancestral(form: str) -> None:
    """Down to a level below the next, and up to it by noise."""
    slope, alpha, place = PATHS[form]
    y, wanted = start(), []
    for (r, s), z in zip(pairwise(LEVELS), [*draws(3), torch.zeros(5, 2)], strict=True):
        up = 0.6 * (s**2 * (r**2 - s**2) / r**2) ** 0.5
        a, b = place(r), place((s**2 - up**2) ** 0.5)
        y = euler(slope, a, b, y * alpha(a)) / alpha(b) + up * z
        wanted.append(y)
    close(walk(EulerAncestral(form, 0.6), draws(3)), wanted)  # type: ignore[arg-type]


def test_heun_does_not_ask_at_the_end() -> None:
    asked: list[float] = []

    def model(x: Tensor, t: Tensor) -> Tensor:
        asked.append(t.item())
        return torch.zeros_like(x)

    for form in PATHS:
        walk(Heun(form), model=model)  # type: ignore[arg-type]
    assert len(asked) == 3 * 7
    assert min(asked) > 0
