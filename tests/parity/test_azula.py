"""azula 0.11.1: whole paths in float64; its Adams-Bashforth methods in every form."""

from typing import Any
from unittest import mock

import pytest
import torch
from parity.paths import Problem, agree, denoise
from parity.peers import load
from torch import Tensor

from diffkit.core.sampler import Sampler
from diffkit.standard.samplers.ddim import Ddim
from diffkit.standard.samplers.ddpm import Ddpm
from diffkit.standard.samplers.deis import Deis
from diffkit.standard.samplers.dpmpp_3m import DpmPp3M
from diffkit.standard.samplers.euler import Euler
from diffkit.standard.samplers.heun import Heun
from diffkit.standard.samplers.lms import Lms

azula, azula_denoise = load("azula", "azula.sample", "azula.denoise")


class Exact(azula_denoise.Denoiser):  # type: ignore[misc]
    """The exact denoiser on a path whose time is the number of the step, counted from the end."""

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.problem = problem
        self.schedule = lambda t: (torch.ones_like(t), problem.levels.flip(0)[t.round().long()])

    def forward(self, x_t: Tensor, t: Tensor) -> Any:
        return azula_denoise.DiracPosterior(denoise(x_t, self.schedule(t)[1]))


def end(kind: str, problem: Problem, steps: int, **options: Any) -> Tensor:
    """x after the first `steps` steps; the noise is the problem's."""
    times = {"start": problem.steps, "stop": problem.steps - steps, "steps": steps, "dtype": torch.float64}
    with mock.patch.object(torch, "randn_like", problem.noises()):
        return getattr(azula, kind)(Exact(problem), silent=True, **times, **options)(problem.x)


def path(kind: str, problem: Problem, until: int, **options: Any) -> Tensor:
    """x after each of the first `until` steps."""
    return torch.stack([end(kind, problem, steps, **options) for steps in range(1, until + 1)])


@pytest.mark.parametrize(
    ("sampler", "kind", "options"),
    [
        (Lms("eps", 3), "zABSampler", {"order": 3}),
        (Lms("flow", 3), "vABSampler", {"order": 3}),
        (Lms("flow", 2), "vABSampler", {"order": 2}),
        (Deis(3), "zEABSampler", {"order": 3}),
        (DpmPp3M(), "xEABSampler", {"order": 3}),
        (Euler("eps"), "EulerSampler", {}),
        (Heun(), "HeunSampler", {}),
        (Ddim(), "DDIMSampler", {"eta": 0.0}),
    ],
    ids=["lms-eps", "lms-flow", "lms-flow-2", "deis", "dpmpp_3m", "euler", "heun", "ddim"],
)
def test_deterministic(sampler: Sampler, kind: str, options: dict[str, Any]) -> None:
    """But for the last step: some of theirs take the logarithm of its end, or divide by it."""
    problem = Problem.of()
    until = problem.steps - 1
    agree(path(kind, problem, until, **options), problem.path(sampler)[:until])


def test_ddpm() -> None:
    problem = Problem.of()
    agree(path("DDPMSampler", problem, problem.steps), problem.path(Ddpm()))
