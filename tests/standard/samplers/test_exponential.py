"""Exponential single-step methods, as their papers have them."""

from itertools import pairwise
from math import atan, cos, exp, expm1, log, sin, sqrt

import pytest
import torch
from scipy.integrate import quad
from standard.samplers.walks import LEVELS, close, denoise, draws, start, walk
from torch import Tensor

from diffkit.core.sampler import Sampler
from diffkit.standard.samplers.dpm_2s import Dpm2S
from diffkit.standard.samplers.dpm_2s_ancestral import Dpm2SAncestral
from diffkit.standard.samplers.dpm_3s import Dpm3S
from diffkit.standard.samplers.dpmpp_2s import DpmPp2S
from diffkit.standard.samplers.dpmpp_2s_ancestral import DpmPp2SAncestral
from diffkit.standard.samplers.dpmpp_3s import DpmPp3S
from diffkit.standard.samplers.dpmpp_sde import DpmPpSde
from diffkit.standard.samplers.exponential_rk import ExponentialRk


class Path:
    """alpha, sigma and lambda of a level on the circle, and both answers at one."""

    def __init__(self, r: float) -> None:
        self.alpha, self.sigma, self.lam = cos(atan(r)), sin(atan(r)), -log(r)

    def x_0(self, x: Tensor) -> Tensor:
        return denoise(x / self.alpha, self.sigma / self.alpha)

    def eps(self, x: Tensor) -> Tensor:
        return (x - self.alpha * self.x_0(x)) / self.sigma


def dpm_2s(a: Path, b: Path, x: Tensor) -> Tensor:
    """Lu et al. 2022, DPM-Solver, algorithm 1."""
    h, m = b.lam - a.lam, Path(exp(-(a.lam + b.lam) / 2))
    u = m.alpha / a.alpha * x - m.sigma * expm1(h / 2) * a.eps(x)
    return b.alpha / a.alpha * x - b.sigma * expm1(h) * m.eps(u)


def dpm_3s(a: Path, b: Path, x: Tensor) -> Tensor:
    """Lu et al. 2022, DPM-Solver, algorithm 2."""
    h, p, q = b.lam - a.lam, 1 / 3, 2 / 3
    one, two = Path(exp(-(a.lam + p * h))), Path(exp(-(a.lam + q * h)))
    noise = a.eps(x)
    u = one.alpha / a.alpha * x - one.sigma * expm1(p * h) * noise
    first = one.eps(u) - noise
    u = two.alpha / a.alpha * x - two.sigma * expm1(q * h) * noise
    u = u - two.sigma * q / p * (expm1(q * h) / (q * h) - 1) * first
    second = two.eps(u) - noise
    return b.alpha / a.alpha * x - b.sigma * expm1(h) * noise - b.sigma / q * (expm1(h) / h - 1) * second


def dpmpp_2s(a: Path, b: Path, x: Tensor) -> Tensor:
    """Lu et al. 2022, DPM-Solver++, algorithm 1."""
    h, m = b.lam - a.lam, Path(exp(-(a.lam + b.lam) / 2))
    u = m.sigma / a.sigma * x - m.alpha * expm1(-h / 2) * a.x_0(x)
    return b.sigma / a.sigma * x - b.alpha * expm1(-h) * m.x_0(u)


def dpmpp_3s(a: Path, b: Path, x: Tensor) -> Tensor:
    """The same as `dpm_3s` for x_0."""
    h, p, q = b.lam - a.lam, 1 / 3, 2 / 3
    one, two = Path(exp(-(a.lam + p * h))), Path(exp(-(a.lam + q * h)))
    data = a.x_0(x)
    u = one.sigma / a.sigma * x - one.alpha * expm1(-p * h) * data
    first = one.x_0(u) - data
    u = two.sigma / a.sigma * x - two.alpha * expm1(-q * h) * data
    u = u + two.alpha * q / p * (expm1(-q * h) / (q * h) + 1) * first
    second = two.x_0(u) - data
    return b.sigma / a.sigma * x - b.alpha * expm1(-h) * data + b.alpha / q * (expm1(-h) / h + 1) * second


def cox_matthews(a: Path, b: Path, x: Tensor) -> Tensor:
    """Cox and Matthews 2002, equations 23 to 25, for y' = c y + x_0 with c = -1, in lambda."""
    h, c, u, f = b.lam - a.lam, -1.0, x / a.alpha, denoise
    n = f(u, exp(-a.lam))
    middle = u * exp(c * h / 2) + (exp(c * h / 2) - 1) * n / c
    n_a = f(middle, exp(-a.lam - h / 2))
    n_b = f(u * exp(c * h) + (exp(c * h) - 1) * (2 * n_a - n) / c, exp(-b.lam))
    z, e = c * h, exp(c * h)
    weighted = n * (-4 - z + e * (4 - 3 * z + z**2)) + 4 * n_a * (2 + z + e * (-2 + z))
    return b.alpha * (u * e + (weighted + n_b * (-4 - 3 * z - z**2 + e * (4 - z))) / (c**3 * h**2))


def krogstad(a: Path, b: Path, x: Tensor) -> Tensor:
    """Krogstad 2005, equation 51, for y' = -y + x_0; each function phi by its integral."""
    h, u, f = b.lam - a.lam, x / a.alpha, denoise

    def phi(k: int, z: float) -> float:
        return quad(lambda s: exp((1 - s) * z) * s ** (k - 1), 0, 1)[0] / (1, 1, 2)[k - 1]

    r, m, s = exp(-a.lam), exp(-a.lam - h / 2), exp(-b.lam)
    half = [phi(k, -h / 2) for k in (1, 2, 3)]
    one, two, three = (phi(k, -h) for k in (1, 2, 3))
    n = f(u, r)
    n_a = f(exp(-h / 2) * u + h / 2 * half[0] * n, m)
    n_b = f(exp(-h / 2) * u + h / 2 * (half[0] - 2 * half[1]) * n + h * half[1] * n_a, m)
    n_c = f(exp(-h) * u + h * (one - 2 * two) * n + 2 * h * two * n_b, s)
    ends = (one - 3 * two + 4 * three) * n + (4 * three - two) * n_c
    return b.alpha * (exp(-h) * u + h * (ends + (2 * two - 4 * three) * (n_a + n_b)))


METHODS = [
    (Dpm2S(), dpm_2s),
    (Dpm3S(), dpm_3s),
    (DpmPp2S(), dpmpp_2s),
    (DpmPp3S(), dpmpp_3s),
    (ExponentialRk(3), cox_matthews),
    (ExponentialRk(4), krogstad),
]


@pytest.mark.parametrize(("sampler", "step"), METHODS, ids=lambda v: getattr(v, "__name__", ""))
def test_update(sampler: Sampler, step: object) -> None:
    y, wanted = start(), []
    for r, s in pairwise(LEVELS):
        # one call, of first order, in the step to 0
        y = step(Path(r), Path(s), Path(r).alpha * y) / Path(s).alpha if s else denoise(y, r)  # type: ignore[operator]
        wanted.append(y)
    close(walk(sampler), wanted)


@pytest.mark.parametrize(("sampler", "step"), [(Dpm2SAncestral, dpm_2s), (DpmPp2SAncestral, dpmpp_2s)])
@pytest.mark.parametrize("eta", [0.3, 1.0])
def test_ancestral(sampler: type, step: object, eta: float) -> None:
    """Down to a level below the next, and up to it by noise, as in k-diffusion."""
    y, wanted, noises = start(), [], iter(draws(3))
    for r, s in pairwise(LEVELS):
        if s == 0:
            y = denoise(y, r)
        else:
            up = min(s, eta * sqrt(s**2 * (r**2 - s**2) / r**2))
            down = Path(sqrt(s**2 - up**2))
            y = step(Path(r), down, Path(r).alpha * y) / down.alpha + up * next(noises)  # type: ignore[operator]
        wanted.append(y)
    close(walk(sampler(eta), draws(3)), wanted)


def test_sde_without_noise_is_the_ode() -> None:
    close(walk(DpmPpSde(0.0)), walk(DpmPp2S()))


def test_sde_update() -> None:
    """At eta 1 the middle and the end are reached by ancestral steps, and both noises are of one Brownian path."""
    y, wanted, noises = start(), [], iter(draws(6))
    for r, s in pairwise(LEVELS):
        if s == 0:
            y = denoise(y, r)
        else:
            m = sqrt(r * s)
            n_m = m * sqrt(1 - (m / r) ** 2) * next(noises)
            u = (m / r) ** 2 * y + (1 - (m / r) ** 2) * denoise(y, r) + n_m
            n_s = (s / m) ** 2 * n_m + s * sqrt(1 - (s / m) ** 2) * next(noises)
            y = (s / r) ** 2 * y + (1 - (s / r) ** 2) * denoise(u, m) + n_s
        wanted.append(y)
    close(walk(DpmPpSde(), draws(6)), wanted)


@pytest.mark.parametrize("eta", [0.5, 1.0, 2.0])
def test_sde_noises_have_the_law_of_one_path(eta: float) -> None:
    r"""$\sigma_s \sqrt{2\eta} \int e^{-\eta (\lambda_s - \lambda)} dW$, in the middle and at the end, by quadrature."""
    r, s = 2.0, 0.3
    m, none = sqrt(r * s), torch.zeros(5, 2, dtype=torch.float64)
    shares = []
    for z in ((none + 1, none), (none, none + 1)):
        seen: list[float] = []

        def model(x: Tensor, t: Tensor, seen: list[float] = seen) -> Tensor:
            seen.append((x[0, 0] / torch.cos(torch.atan(torch.tensor(m)))).item())
            return torch.zeros_like(x)

        end = walk(DpmPpSde(eta), z, [r, s, 0.0], model, none)[0][0, 0].item()
        shares.append((seen[1], end))
    (m_1, s_1), (m_2, s_2) = shares

    def covariance(a: float, b: float) -> float:
        top = min(-log(a), -log(b))
        return a * b * quad(lambda p: 2 * eta * exp(-eta * (-log(a) - p) - eta * (-log(b) - p)), -log(r), top)[0]

    assert m_1**2 + m_2**2 == pytest.approx(covariance(m, m))
    assert s_1**2 + s_2**2 == pytest.approx(covariance(s, s))
    assert m_1 * s_1 + m_2 * s_2 == pytest.approx(covariance(m, s))
    assert m_2 == 0
