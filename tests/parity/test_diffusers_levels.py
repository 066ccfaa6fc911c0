"""diffusers 0.42.1, the schedulers on a table of noise levels: whole paths in float64, with the same noise."""

from typing import Any
from unittest import mock

import pytest
import torch
from parity.diffusers_paths import exploding, preserving
from parity.paths import Problem, agree, denoise, eps
from parity.peers import in_float64, load, mended

from diffkit.core.sampler import Sampler
from diffkit.standard.samplers.ddim import Ddim
from diffkit.standard.samplers.deis import Deis
from diffkit.standard.samplers.dpm_2s import Dpm2S
from diffkit.standard.samplers.dpm_3s import Dpm3S
from diffkit.standard.samplers.dpmpp_2m import DpmPp2M
from diffkit.standard.samplers.dpmpp_2m_sde import DpmPp2MSde
from diffkit.standard.samplers.dpmpp_2s import DpmPp2S
from diffkit.standard.samplers.dpmpp_3m import DpmPp3M
from diffkit.standard.samplers.dpmpp_3s import DpmPp3S
from diffkit.standard.samplers.euler import Euler
from diffkit.standard.samplers.euler_ancestral import EulerAncestral
from diffkit.standard.samplers.heun import Heun
from diffkit.standard.samplers.lms import Lms
from diffkit.standard.samplers.sa_solver import SaSolver
from diffkit.standard.samplers.unipc import UniPC

diffusers, multistep_module, sa_module, ancestral_module = load(
    "diffusers",
    "diffusers",
    "diffusers.schedulers.scheduling_dpmsolver_multistep",
    "diffusers.schedulers.scheduling_sasolver",
    "diffusers.schedulers.scheduling_euler_ancestral_discrete",
)

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*__array:DeprecationWarning"),  # numpy's, of the tensors that it is given
    pytest.mark.filterwarnings("ignore:.*algorithm_type.*dpmsolver:FutureWarning"),  # diffusers wants to drop it
]


@pytest.mark.parametrize("sampler", [Euler("eps"), Ddim()], ids=["euler", "ddim"])
def test_euler(sampler: Sampler) -> None:
    problem = Problem.of()
    agree(exploding(diffusers.EulerDiscreteScheduler(), problem.x, problem.levels), problem.path(sampler))


def test_heun() -> None:
    """Its table has each level twice, but for the first and the last."""
    problem = Problem.of()
    twice = problem.levels[1:-1].repeat_interleave(2)
    levels = torch.cat([problem.levels[:1], twice, problem.levels[-1:]])
    with in_float64():
        scheduler = diffusers.HeunDiscreteScheduler()
        scheduler.set_timesteps(problem.steps)
        scheduler.sigmas, x, states = levels, problem.x, []
        for i, t in enumerate(scheduler.timesteps):
            x = scheduler.step(eps(x, levels[i]), t, x, return_dict=False)[0]
            states.append(x)
    agree(torch.stack([*states[1::2], states[-1]]), problem.path(Heun()))


def test_lms() -> None:
    problem = Problem.of()
    agree(exploding(diffusers.LMSDiscreteScheduler(), problem.x, problem.levels), problem.path(Lms()))


def multistep(**options: Any) -> Any:
    return diffusers.DPMSolverMultistepScheduler(lower_order_final=False, **options)


def test_dpmpp_2m() -> None:
    problem = Problem.of()
    agree(preserving(multistep(), problem.x, problem.levels), problem.path(DpmPp2M()))


def test_dpmpp_3m_with_the_whole_second_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is, it takes half of it, and is of second order: see test_defects."""
    kind, problem = diffusers.DPMSolverMultistepScheduler, Problem.of()
    name, options = "multistep_dpm_solver_third_order_update", {"solver_order": 3, "solver_type": "heun"}
    ours = problem.path(DpmPp3M())
    assert (preserving(multistep(**options), problem.x, problem.levels) - ours).abs().max() > 1e-3
    whole = ("D2 = (1.0 / (r0 + r1))", "D2 = 2 * (1.0 / (r0 + r1))")
    monkeypatch.setattr(kind, name, mended(getattr(kind, name), whole))
    agree(preserving(multistep(**options), problem.x, problem.levels), ours)


def test_dpmpp_2m_sde() -> None:
    problem = Problem.of()
    with mock.patch.object(multistep_module, "randn_tensor", problem.noises()):
        theirs = preserving(multistep(algorithm_type="sde-dpmsolver++"), problem.x, problem.levels)
    agree(theirs, problem.path(DpmPp2MSde(1.0)))


@pytest.mark.parametrize("order", [1, 2, 3])
def test_deis(order: int) -> None:
    """Without the last step: theirs cannot end at a level of 0."""
    problem = Problem.of()
    scheduler = diffusers.DEISMultistepScheduler(solver_order=order, lower_order_final=False)
    theirs = preserving(scheduler, problem.x, problem.levels[:-1])
    agree(theirs, problem.path(Deis(order))[:-1])  # type: ignore[arg-type]


@pytest.mark.parametrize("form", ["x0", "eps"])
@pytest.mark.parametrize("order", [2, 3])
def test_unipc_where_it_integrates(monkeypatch: pytest.MonkeyPatch, order: int, form: str) -> None:
    """Where one answer is interpolated they put 1/2 for the integral, as the paper does; all else is the same.

    Their order is that of the predictor.
    """
    kind, problem = diffusers.UniPCMultistepScheduler, Problem.of()
    options = {"solver_order": order, "lower_order_final": False, "predict_x0": form == "x0"}
    ours = problem.path(UniPC(form, order + 1))[:-1]  # type: ignore[arg-type]
    as_it_is = preserving(kind(**options), problem.x, problem.levels[:-1])
    half = "torch.ones(1, dtype=x.dtype, device=device) * 0.5"
    for name, integral in (("p", "torch.linalg.solve(R[:-1, :-1], b[:-1])"), ("c", "torch.linalg.solve(R, b)")):
        name = f"multistep_uni_{name}_bh_update"
        monkeypatch.setattr(kind, name, mended(getattr(kind, name), (half, integral)))
    agree(preserving(kind(**options), problem.x, problem.levels[:-1]), ours)
    assert (as_it_is - ours).abs().max() > 1e-4


@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(("predictor", "corrector"), [(1, 1), (2, 2), (3, 4)])
def test_sa_solver_where_it_integrates(
    monkeypatch: pytest.MonkeyPatch, predictor: int, corrector: int, tau: float
) -> None:
    """With two answers they add a term of third order in the step, meant for few steps; without it, the same."""
    kind, problem = diffusers.SASolverScheduler, Problem.of()
    for name in ("stochastic_adams_bashforth_update", "stochastic_adams_moulton_update"):
        monkeypatch.setattr(kind, name, mended(getattr(kind, name), ("order == 2", "order == -2")))
    scheduler = kind(
        predictor_order=predictor,
        corrector_order=corrector,
        lower_order_final=False,
        tau_func=lambda t: torch.tensor(tau, dtype=torch.float64),
    )
    with mock.patch.object(sa_module, "randn_tensor", problem.noises()):
        theirs = preserving(scheduler, problem.x, problem.levels[:-1])
    agree(theirs, problem.path(SaSolver(tau, predictor, corrector))[:-1])  # type: ignore[arg-type]


def test_euler_ancestral() -> None:
    problem = Problem.of()
    with mock.patch.object(ancestral_module, "randn_tensor", problem.noises()):
        theirs = exploding(diffusers.EulerAncestralDiscreteScheduler(), problem.x, problem.levels)
    agree(theirs, problem.path(EulerAncestral("eps")))


@pytest.mark.parametrize("form", ["x0", "eps"])
@pytest.mark.parametrize("order", [2, 3])
def test_single_steps(monkeypatch: pytest.MonkeyPatch, order: int, form: str) -> None:
    """The nodes within a step, at equal parts of it in lambda, are levels of their table.

    On the way to the second node of the third order they put 1/2 for the integral that the papers have.
    """
    kind, problem = diffusers.DPMSolverSinglestepScheduler, Problem.of()
    logs = problem.levels[:-1].log()
    shares = torch.arange(order, dtype=torch.float64) / order
    levels = torch.cat([(logs[:-1, None] + logs.diff()[:, None] * shares).flatten(), logs[-1:]]).exp()
    if order == 3:
        name = "singlestep_dpm_solver_second_order_update"
        half, integral = ('solver_type == "midpoint"', "solver_type is None"), ('solver_type == "heun"', "solver_type")
        monkeypatch.setattr(kind, name, mended(getattr(kind, name), half, integral))
    scheduler = kind(
        solver_order=order,
        algorithm_type="dpmsolver++" if form == "x0" else "dpmsolver",
        lower_order_final=False,
        final_sigmas_type="sigma_min",
    )
    theirs = preserving(scheduler, problem.x, levels)[order - 1 :: order]
    ours: dict[tuple[int, str], Sampler] = {
        (2, "x0"): DpmPp2S(), (3, "x0"): DpmPp3S(), (2, "eps"): Dpm2S(), (3, "eps"): Dpm3S(),
    }  # fmt: skip
    agree(theirs, problem.path(ours[order, form])[:-1])


def test_edm_euler() -> None:
    """Without churn: theirs is added after the model was asked, at the level before it."""
    problem = Problem.of()
    with in_float64():
        scheduler, x, states = diffusers.EDMEulerScheduler(), problem.x, []
        scheduler.set_timesteps(problem.steps)
        scheduler.sigmas = problem.levels
        for i, t in enumerate(scheduler.timesteps):
            scheduler.scale_model_input(x, t)
            answer = denoise(x, problem.levels[i])
            x = scheduler.step(x, t, x, pred_original_sample=answer, return_dict=False)[0]
            states.append(x)
    agree(torch.stack(states), problem.path(Euler("eps")))
