"""The table of Adams methods against the methods themselves, written as they are read: a state that is mended."""

from itertools import pairwise
from math import atan, cos, exp, hypot, log, sin

import pytest
import torch
from scipy.integrate import quad
from torch import Tensor

from diffkit.core.sampler import Sampler, drive
from diffkit.standard.samplers.abm import Abm
from diffkit.standard.samplers.ddim import Ddim
from diffkit.standard.samplers.deis import Deis
from diffkit.standard.samplers.dpmpp_2m_sde import DpmPp2MSde
from diffkit.standard.samplers.dpmpp_3m import DpmPp3M
from diffkit.standard.samplers.dpmpp_3m_sde import DpmPp3MSde
from diffkit.standard.samplers.lms import Lms
from diffkit.standard.samplers.sa_solver import SaSolver
from diffkit.standard.samplers.unipc import UniPC
from diffkit.standard.schedules import Cosine
from diffkit.testing.oracle import Mixture, denoiser

LEVELS = [20.0, 7.0, 3.0, 1.4, 0.6, 0.2, 0.05]
"""sigma / alpha at the beginning of each step; the last one ends at 0."""
DATA = Mixture.circle()
FORMS = {
    # scale n, place m, and F, of alpha, sigma, x and x_0
    "eps": (lambda a, s: a, lambda a, s: s / a, lambda a, s, x, x_0: (x - a * x_0) / s),
    "v": (hypot, lambda a, s: atan(s / a), lambda a, s, x, x_0: (a * (x - a * x_0) / s - s * x_0) / hypot(a, s)),
    "flow": (lambda a, s: a + s, lambda a, s: s / (a + s), lambda a, s, x, x_0: (x - a * x_0) / s - x_0),
}


def start() -> Tensor:
    return torch.randn(5, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def ours(sampler: Sampler, noises: list[Tensor] | None = None) -> list[Tensor]:
    """The states on a variance-preserving path."""
    schedule, drawn = Cosine(), iter(noises or [])
    levels = torch.tensor(LEVELS, dtype=torch.float64)
    times = torch.cat([schedule.time(-2 * levels.log()), torch.zeros(1, dtype=torch.float64)])
    states = drive(sampler, denoiser(DATA, schedule), schedule, start(), times, lambda x: next(drawn))
    return [state.x for state in states]


def lagrange(nodes: list[float], j: int, p: float) -> float:
    value = 1.0
    for other, node in enumerate(nodes):
        if other != j:
            value *= (p - node) / (nodes[j] - node)
    return value


def mended(form: str, predictor: int, corrector: int) -> list[Tensor]:
    """Predict, evaluate, correct: one integral at a time, with the corrected state kept beside the predicted one."""
    scale, place, slope = FORMS[form]
    angles = [atan(level) for level in LEVELS] + [0.0]
    points = [(cos(a), sin(a)) for a in angles]
    nodes, slopes, states = [], [], []
    x = start()
    base = x  # the corrected state

    def step(k: int, a: tuple[float, float], b: tuple[float, float], x: Tensor) -> Tensor:
        used = nodes[:k]
        weights = [quad(lambda p, j=j: lagrange(used, j, p), place(*a), place(*b))[0] for j in range(len(used))]
        z = x / scale(*a) + sum(w * f for w, f in zip(weights, slopes[:k], strict=True))
        return scale(*b) * z

    for i, (here, there) in enumerate(pairwise(points)):
        x_0 = DATA.x_0(x, *here)
        nodes.insert(0, place(*here))
        slopes.insert(0, slope(*here, x, x_0))
        base = step(corrector, points[i - 1], here, base) if corrector and i else x
        x = step(predictor, here, there, base)
        states.append(x)
    return states


@pytest.mark.parametrize("form", FORMS)
def test_adams_bashforth_moulton(form: str) -> None:
    for order in (2, 3, 4):
        torch.testing.assert_close(ours(Abm(form, order)), mended(form, order - 1, order), rtol=0, atol=1e-9)


@pytest.mark.parametrize("form", FORMS)
def test_adams_bashforth(form: str) -> None:
    for order in (1, 2, 3, 4):
        torch.testing.assert_close(ours(Lms(form, order)), mended(form, order, 0), rtol=0, atol=1e-9)


def exponential(
    predictor: int, corrector: int, square: float = 0.0, noises: list[Tensor] | None = None
) -> list[Tensor]:
    """Xue et al. 2023, equations 14 and 17, at alpha = 1: the integral of each polynomial by quadrature."""
    levels = [*LEVELS, 0.0]
    nodes: list[float] = []
    answers: list[Tensor] = []
    x = base = start() * hypot(1, LEVELS[0])
    states = []

    def step(k: int, r: float, s: float, x: Tensor, z: Tensor | None) -> Tensor:
        if s == 0:
            return answers[0]
        low, high, g = -log(r), -log(s), 1 + square
        used = nodes[:k]
        out = s / r * exp(-square * (high - low)) * x
        for j, answer in enumerate(answers[:k]):
            f = lambda p, j=j: g * exp(-g * (high - p)) * lagrange(used, j, p)  # noqa: E731
            out = out + quad(f, low, high, epsabs=1e-13)[0] * answer
        return out if z is None else out + s * (1 - exp(-2 * square * (high - low))) ** 0.5 * z

    for i, (r, s) in enumerate(pairwise(levels)):
        answers.insert(0, DATA.x_0(x, 1.0, r))
        nodes.insert(0, -log(r))
        base = step(corrector, levels[i - 1], r, base, noises[i - 1] if noises else None) if corrector and i else x
        x = step(predictor, r, s, base, noises[i] if noises else None)
        states.append(x / hypot(1, s))
    return states


@pytest.mark.parametrize("order", [2, 3, 4])
def test_unipc(order: int) -> None:
    torch.testing.assert_close(ours(UniPC(order=order)), exponential(order - 1, order), rtol=0, atol=1e-9)


@pytest.mark.parametrize(("predictor", "corrector"), [(1, 0), (2, 2), (3, 4), (2, 3)])
def test_sa_solver(predictor: int, corrector: int) -> None:
    g = torch.Generator().manual_seed(3)
    noises = [torch.randn(5, 2, generator=g, dtype=torch.float64) for _ in LEVELS]
    for tau in (0.6, 1.0):
        expected = exponential(predictor, corrector, tau**2, noises)
        torch.testing.assert_close(ours(SaSolver(tau, predictor, corrector), noises), expected, rtol=0, atol=1e-9)


def test_the_same_method_under_two_names() -> None:
    same = [
        (Lms("eps", 1), Ddim()),
        (Deis(1), Ddim()),
        (DpmPp3M(), SaSolver(0.0, 3, 0)),
        (UniPC(), SaSolver(0.0, 2, 3)),
        (DpmPp3MSde(0.0), DpmPp3M()),
    ]
    for one, other in same:
        torch.testing.assert_close(ours(one), ours(other), rtol=0, atol=1e-11)


def test_the_first_step_with_noise_is_ddpm_s() -> None:
    noises = [torch.ones(5, 2, dtype=torch.float64)] * len(LEVELS)
    for sampler in (DpmPp2MSde(), DpmPp3MSde(), SaSolver(1.0, 2, 0)):
        torch.testing.assert_close(ours(sampler, noises)[0], ours(Ddim(1.0), noises)[0], rtol=0, atol=1e-12)


def test_deis_is_exact_for_noise_that_is_a_parabola_in_the_logarithm_of_its_level() -> None:
    """The exact integral of eps = p + q l + r l^2 over the level e^l, from the fourth state on."""
    schedule, (p, q, r) = Cosine(), (0.3, -0.7, 0.2)
    levels = torch.tensor(LEVELS, dtype=torch.float64)
    times = torch.cat([schedule.time(-2 * levels.log()), torch.zeros(1, dtype=torch.float64)])

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        alpha, sigma = schedule(t)
        level = (sigma / alpha).log()
        return (x - sigma * (p + q * level + r * level**2)) / alpha

    def integral(level: float) -> float:
        return level * (p + q * (log(level) - 1) + r * (log(level) ** 2 - 2 * log(level) + 2))

    states = list(drive(Deis(3), denoise, schedule, start(), times, torch.zeros_like))
    alpha = schedule(times)[0]
    for i in range(2, len(LEVELS) - 1):
        moved = states[i].x / alpha[i + 1] - states[i - 1].x / alpha[i]
        torch.testing.assert_close(moved, torch.full_like(moved, integral(LEVELS[i + 1]) - integral(LEVELS[i])))
