"""diffusers 0.42.1, the schedulers on a discrete chain: whole paths in float64, with the same noise."""

from typing import Any, Literal
from unittest import mock

import pytest
import torch
from parity.paths import Problem, agree, eps
from parity.peers import in_float64, load
from torch import Tensor

from diffkit.standard.samplers.ddim import Ddim
from diffkit.standard.samplers.ddpm import Ddpm
from diffkit.standard.samplers.ipndm import Ipndm
from diffkit.standard.samplers.pndm import Pndm

diffusers, ddim_module, ddpm_module = load(
    "diffusers", "diffusers", "diffusers.schedulers.scheduling_ddim", "diffusers.schedulers.scheduling_ddpm"
)


def path(scheduler: Any, x: Tensor, levels: Tensor, steps: int, **options: Any) -> Tensor:
    """x / alpha after each call; `levels` are those of the chain's steps from the data on."""
    bars = 1 / (1 + levels.square())
    scheduler.alphas_cumprod = bars
    with in_float64():
        scheduler.set_timesteps(steps)
        state, states = x, []
        for t in scheduler.timesteps:
            answer = eps(state / bars[t].sqrt(), levels[t])
            state = scheduler.step(answer, t, state, return_dict=False, **options)[0]
            states.append(state)
    return torch.stack(states)


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_ddim(eta: float) -> None:
    problem = Problem.of()
    with mock.patch.object(ddim_module, "randn_tensor", problem.noises()):
        scheduler = diffusers.DDIMScheduler(problem.steps, clip_sample=False)
        levels = problem.levels[:-1].flip(0)
        theirs = path(scheduler, problem.x * problem.alphas[0], levels, problem.steps, eta=eta)
    agree(theirs / problem.alphas[1:, None, None], problem.path(Ddim(eta)))


@pytest.mark.parametrize("variance", ["small", "large"])
def test_ddpm(variance: Literal["small", "large"]) -> None:
    problem = Problem.of()
    with mock.patch.object(ddpm_module, "randn_tensor", problem.noises()):
        scheduler = diffusers.DDPMScheduler(problem.steps, clip_sample=False, variance_type=f"fixed_{variance}")
        theirs = path(scheduler, problem.x * problem.alphas[0], problem.levels[:-1].flip(0), problem.steps)
    agree(theirs / problem.alphas[1:, None, None], problem.path(Ddpm(variance)))


@pytest.mark.parametrize("steps", [5, 12])
def test_ipndm(steps: int) -> None:
    """Its model gives v, its betas are our sigmas on a variance-preserving path."""
    problem = Problem.of()
    sigmas = problem.levels * problem.alphas
    with in_float64():
        scheduler = diffusers.IPNDMScheduler(problem.steps, trained_betas=sigmas.tolist())
        scheduler.set_timesteps(problem.steps)
        x, states = problem.x * problem.alphas[0], []
        for i, t in enumerate(scheduler.timesteps):
            noise = eps(x / problem.alphas[i], problem.levels[i])
            v = (noise - sigmas[i] * x) / problem.alphas[i]
            x = scheduler.step(v, t, x, return_dict=False)[0]
            states.append(x / problem.alphas[i + 1])
    agree(torch.stack(states), problem.path(Ipndm()))


def test_pndm() -> None:
    """Three Runge-Kutta steps of four calls, whose nodes are steps of their chain: here in the middle of two levels."""
    problem = Problem.of()
    levels = problem.levels[:-1].flip(0)
    middles = torch.cat([(levels[1:] + levels[:-1]) / 2, levels[-1:]])
    chain = torch.stack([levels, middles], 1).flatten()
    scheduler = diffusers.PNDMScheduler(len(chain), set_alpha_to_one=True)
    theirs = path(scheduler, problem.x * problem.alphas[0], chain, problem.steps)
    agree(theirs[[3, 7, *range(11, len(theirs))]] / problem.alphas[1:, None, None], problem.path(Pndm()))
