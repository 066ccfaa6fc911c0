"""k-diffusion 0.1.1: whole paths in float64, with the same noise."""

from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
import torch
from parity.paths import Problem, agree, denoise
from parity.peers import load
from torch import Tensor

from diffkit.core.sampler import Sampler
from diffkit.standard.grids import Exponential, Karras
from diffkit.standard.samplers.ddim import Ddim
from diffkit.standard.samplers.dpm_2s import Dpm2S
from diffkit.standard.samplers.dpm_2s_ancestral import Dpm2SAncestral
from diffkit.standard.samplers.dpmpp_2m import DpmPp2M
from diffkit.standard.samplers.dpmpp_2m_sde import DpmPp2MSde
from diffkit.standard.samplers.dpmpp_2s_ancestral import DpmPp2SAncestral
from diffkit.standard.samplers.dpmpp_sde import DpmPpSde
from diffkit.standard.samplers.edm import EdmSampler
from diffkit.standard.samplers.euler import Euler
from diffkit.standard.samplers.euler_ancestral import EulerAncestral
from diffkit.standard.samplers.heun import Heun
from diffkit.standard.samplers.lms import Lms
from diffkit.standard.schedules import Edm

(K,) = load("k_diffusion", "k_diffusion.sampling")


def path(run: Callable[..., Tensor], problem: Problem, **options: Any) -> Tensor:
    """x after each of k-diffusion's steps."""
    states: list[Tensor] = []
    options |= {"disable": True, "callback": lambda seen: states.append(seen["x"])}
    last = run(lambda x, level: denoise(x, level[0]), problem.x, problem.levels, **options)
    return torch.stack([*states[1:], last])


@pytest.mark.parametrize(
    ("sampler", "theirs"),
    [
        (Euler("eps"), K.sample_euler),
        (Ddim(), K.sample_euler),
        (Heun(), K.sample_heun),
        (Dpm2S(), K.sample_dpm_2),
        (DpmPp2M(), K.sample_dpmpp_2m),
        (Lms(), K.sample_lms),
    ],
    ids=["euler", "ddim", "heun", "dpm_2s", "dpmpp_2m", "lms"],
)
def test_deterministic(sampler: Sampler, theirs: Callable[..., Tensor]) -> None:
    problem = Problem.of()
    agree(path(theirs, problem), problem.path(sampler))


@pytest.mark.parametrize("eta", [0.0, 0.6, 1.0])
@pytest.mark.parametrize(
    ("sampler", "theirs"),
    [
        (lambda eta: EulerAncestral("eps", eta), K.sample_euler_ancestral),
        (Ddim, K.sample_euler_ancestral),
        (Dpm2SAncestral, K.sample_dpm_2_ancestral),
        (DpmPp2SAncestral, K.sample_dpmpp_2s_ancestral),
        (DpmPp2MSde, K.sample_dpmpp_2m_sde),
    ],
    ids=["euler_ancestral", "ddim", "dpm_2s_ancestral", "dpmpp_2s_ancestral", "dpmpp_2m_sde"],
)
def test_with_the_same_noise(sampler: Callable[[float], Sampler], theirs: Callable[..., Tensor], eta: float) -> None:
    problem = Problem.of()
    agree(path(theirs, problem, eta=eta, noise_sampler=problem.noises()), problem.path(sampler(eta)))


@pytest.mark.parametrize("churn", [0.0, 3.0, 40.0])
def test_edm_with_the_same_noise(churn: float) -> None:
    """Every step is churned, 40 by as much as is allowed; only the result, since the states seen are the churned."""
    problem = Problem.of(Karras(12), Edm(1000.0))
    with mock.patch.object(torch, "randn_like", problem.noises()):
        theirs = path(K.sample_heun, problem, s_churn=churn, s_noise=1.1)
    agree(theirs[-1], problem.path(EdmSampler(churn, 0.0, 1e9, 1.1))[-1])


def test_dpmpp_sde_with_the_same_noise() -> None:
    """Their noise over a step is that of one path, from a tree: here of two draws, one for each half."""
    problem = Problem.of()
    draw, first = problem.noises(), torch.zeros(())

    def noise(begin: Tensor, end: Tensor) -> Tensor:
        nonlocal first
        if not any(torch.isclose(end, level, rtol=1e-9) for level in problem.levels[1:-1]):
            first = draw()
            return first
        q = end / begin  # e^-h: the first half's noise falls with its square root
        return (q.sqrt() * first + draw()) / (1 + q).sqrt()

    agree(path(K.sample_dpmpp_sde, problem, noise_sampler=noise), problem.path(DpmPpSde()))


def test_grids() -> None:
    """Their levels are float32."""
    limits = (-2 * torch.tensor([70.0, 0.01]).log()).tolist()
    karras, exponential = Karras(15, 5.0, *limits)(Edm(80.0)), Exponential(15, 1.7, *limits)(Edm(80.0))
    torch.testing.assert_close(K.get_sigmas_karras(15, 0.01, 70.0, 5.0).double(), 80 * karras, rtol=1e-5, atol=0.0)
    torch.testing.assert_close(
        K.get_sigmas_polyexponential(15, 0.01, 70.0, 1.7).double(), 80 * exponential, rtol=1e-5, atol=0.0
    )
