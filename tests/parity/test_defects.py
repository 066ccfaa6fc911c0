"""Where peers go wrong, shown by the order of their error or by an exact integral; and the expression that is why."""

import math
from collections.abc import Callable

import pytest
import torch
from parity.diffusers_paths import preserving
from parity.peers import load, mended
from torch import Tensor

from diffkit.core.noise import Noise
from diffkit.core.sampler import Sampler, drive
from diffkit.standard.samplers.dpmpp_3m import DpmPp3M
from diffkit.standard.samplers.dpmpp_3m_sde import DpmPp3MSde
from diffkit.standard.samplers.lms import Lms
from diffkit.standard.schedules import Edm
from diffkit.testing.oracle import Gaussian, denoiser

diffusers, azula, azula_denoise, K = (
    *load("diffusers", "diffusers"),
    *load("azula", "azula.sample", "azula.denoise"),
    *load("k_diffusion", "k_diffusion.sampling"),
)
pytestmark = pytest.mark.filterwarnings("ignore:.*__array:DeprecationWarning")  # numpy's, of tensors

ORACLE = Gaussian.random(4)
HIGH, LOW = 80.0, 0.002
START = HIGH * torch.randn(16, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
EXACT = ORACLE.flow(START, (1.0, HIGH), (1.0, LOW))
CALLS = (60, 120, 240)


def levels(steps: int) -> Tensor:
    """Karras's, from HIGH to LOW in so many steps."""
    return torch.linspace(HIGH ** (1 / 7), LOW ** (1 / 7), steps + 1, dtype=torch.float64) ** 7


def order(solve: Callable[[Tensor], Tensor]) -> float:
    """The observed order over two doublings of the number of steps."""
    errors = [(solve(levels(steps)) - EXACT).square().mean().sqrt().item() for steps in CALLS]
    return math.log2(errors[0] / errors[-1]) / math.log2(CALLS[-1] / CALLS[0])


def ours(sampler: Sampler) -> Callable[[Tensor], Tensor]:
    def solve(levels: Tensor) -> Tensor:
        schedule = Edm(HIGH)
        times = levels / HIGH
        return [*drive(sampler, denoiser(ORACLE, schedule), schedule, START, times, Noise(0, range(16)))][-1].x

    return solve


def of_diffusers(levels: Tensor) -> Tensor:
    scheduler = diffusers.DPMSolverMultistepScheduler(
        solver_order=3, lower_order_final=False, final_sigmas_type="sigma_min"
    )
    return preserving(scheduler, START, levels, lambda x, level: ORACLE.x_0(x, 1.0, float(level)))[-1]


def of_k_diffusion(levels: Tensor) -> Tensor:
    solved: Tensor = K.sample_dpmpp_3m_sde(
        lambda x, level: ORACLE.x_0(x, 1.0, float(level[0])), START, levels, disable=True, eta=0.0,
        noise_sampler=lambda *args: torch.zeros(()),
    )  # fmt: skip
    return solved


def test_dpmpp_3m_takes_the_whole_second_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    """diffusers and k-diffusion multiply phi_3 by half of it, and are of second order; with the whole, of third."""
    assert order(ours(DpmPp3M())) > 2.85
    assert order(of_diffusers) < 2.0
    assert order(of_k_diffusion) < 2.0
    kind, name = diffusers.DPMSolverMultistepScheduler, "multistep_dpm_solver_third_order_update"
    whole = mended(getattr(kind, name), ("D2 = (1.0 / (r0 + r1))", "D2 = 2 * (1.0 / (r0 + r1))"))
    monkeypatch.setattr(kind, name, whole)
    assert order(of_diffusers) > 2.85
    monkeypatch.setattr(K, "sample_dpmpp_3m_sde", mended(K.sample_dpmpp_3m_sde, ("d2 = ", "d2 = 2 * ")))
    assert order(of_k_diffusion) > 2.85


def left_over(states: Tensor, levels: Tensor) -> float:
    r"""How far each step from the third on is from the exact mean of the SDE, where the answer is lambda^2.

    For y = x / alpha that is $e^{-2h} y + [\lambda^2 - \lambda + 1/2]_s - e^{-2h} [\lambda^2 - \lambda + 1/2]_t$.
    """
    places = -levels.log()
    integral = places.square() - places + 0.5
    falls = (levels[1:] / levels[:-1]).square()
    exact = falls[1:, None, None] * states[:-1] + (integral[1:] - falls * integral[:-1])[1:, None, None]
    return (states[1:] - exact)[1:].abs().max().item()


def test_the_sde_of_third_order_integrates_a_parabola(monkeypatch: pytest.MonkeyPatch) -> None:
    """diffusers' coefficient of the second difference, of which it takes half, also has 1/2 with the wrong sign."""
    steps, schedule = levels(12), Edm(HIGH)
    kind, name = diffusers.DPMSolverMultistepScheduler, "multistep_dpm_solver_third_order_update"
    module = load("diffusers", "diffusers.schedulers.scheduling_dpmsolver_multistep")[0]
    monkeypatch.setattr(module, "randn_tensor", lambda shape, **options: torch.zeros(shape))

    def theirs() -> float:
        scheduler = kind(
            solver_order=3, algorithm_type="sde-dpmsolver++", lower_order_final=False, final_sigmas_type="sigma_min"
        )
        answer = lambda x, level: level.log().square() * torch.ones_like(x)  # noqa: E731
        return left_over(preserving(scheduler, START, steps, answer), steps)

    states = drive(
        DpmPp3MSde(), lambda x, t: (HIGH * t).log().square() * torch.ones_like(x), schedule, START, steps / HIGH,
        torch.zeros_like,
    )  # fmt: skip
    assert left_over(torch.stack([state.x for state in states]), steps) < 1e-9
    assert theirs() > 0.1
    half = ("D2 = (1.0 / (r0 + r1))", "D2 = 2 * (1.0 / (r0 + r1))")
    sign = ("(2.0 * h) ** 2 - 0.5)) * D2", "(2.0 * h) ** 2 + 0.5)) * D2")
    original = getattr(kind, name)
    for mends in ([half], [sign]):
        monkeypatch.setattr(kind, name, mended(original, *mends))
        assert theirs() > 0.1
    monkeypatch.setattr(kind, name, mended(original, half, sign))
    assert theirs() < 1e-9


def test_azula_reab_ends_at_the_end_of_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its second order method scales the step by the level at its beginning, and is of first order."""

    class Exact(azula_denoise.Denoiser):  # type: ignore[misc]
        def forward(self, x_t: Tensor, t: Tensor) -> object:
            return azula_denoise.DiracPosterior(ORACLE.x_0(x_t, 1.0, self.schedule(t)[1].item()))

    def solve(levels: Tensor) -> Tensor:
        exact, n = Exact(), len(levels) - 1
        exact.schedule = lambda t: (torch.ones_like(t), levels.flip(0)[t.round().long()])
        sampler = azula.REABSampler(exact, order=2, start=n, stop=0, steps=n, silent=True, dtype=torch.float64)
        return sampler(START)  # type: ignore[no-any-return]

    assert order(solve) < 1.2
    right = ("torch.sqrt(alpha_s**2 + sigma_t**2)", "torch.sqrt(alpha_s**2 + sigma_s**2)")
    monkeypatch.setattr(azula.REABSampler, "__call__", mended(azula.REABSampler.__call__, right))
    assert order(solve) > 1.85
    assert order(ours(Lms("v", 2))) > 1.85
