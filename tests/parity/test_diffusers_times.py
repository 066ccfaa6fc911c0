"""diffusers 0.42.1: its schedules and its spacings of the chain's steps; each index of theirs is one less than ours."""

import pytest
import torch
from parity.peers import in_float64, load
from torch import Tensor

from diffkit.core.grid import Grid
from diffkit.core.noise import Noise
from diffkit.core.sampler import drive
from diffkit.core.schedule import Schedule
from diffkit.standard.grids import Leading, Linspace, Trailing
from diffkit.standard.samplers.ddim import Ddim
from diffkit.standard.schedules import Linear, ScaledLinear, Tabulated, ZeroSnr

diffusers, ddim_module = load("diffusers", "diffusers", "diffusers.schedulers.scheduling_ddim")

GRIDS: dict[str, type[Trailing] | type[Leading] | type[Linspace]] = {
    "trailing": Trailing,
    "leading": Leading,
    "linspace": Linspace,
}


def bars(schedule: Schedule, steps: int = 1000) -> Tensor:
    """alpha^2 at the steps of a chain."""
    return schedule(torch.arange(1, steps + 1, dtype=torch.float64) / steps)[0].square()


def theirs(name: str, **options: float) -> Tensor:
    with in_float64():
        return diffusers.DDPMScheduler(beta_schedule=name, **options).alphas_cumprod  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("schedule", "name"),
    [(Linear(1e-4, 0.02), "linear"), (ScaledLinear(1e-4, 0.02), "scaled_linear")],
    ids=["linear", "scaled_linear"],
)
def test_betas(schedule: Schedule, name: str) -> None:
    torch.testing.assert_close(theirs(name), bars(schedule), rtol=1e-11, atol=0)


@pytest.mark.parametrize("name", ["squaredcos_cap_v2", "sigmoid", "laplace"])
def test_other_betas_as_a_table(name: str) -> None:
    with in_float64():
        betas = diffusers.DDPMScheduler(beta_schedule=name).betas
    schedule = Tabulated(tuple(betas.tolist()))
    torch.testing.assert_close(theirs(name), bars(schedule), rtol=1e-11, atol=0)


def test_zero_terminal_snr() -> None:
    """They keep the alpha of the chain's first step, we that of the data, 1: a factor of 1 + 3e-7 between the two."""
    with in_float64():
        theirs = 1 - ddim_module.rescale_zero_terminal_snr(diffusers.DDIMScheduler().betas)
    torch.testing.assert_close(torch.cumprod(theirs, 0), bars(ZeroSnr(Linear())), rtol=1e-6, atol=1e-15)


def spaced(name: str, steps: int) -> Tensor:
    scheduler = diffusers.DDIMScheduler(timestep_spacing=name)
    scheduler.set_timesteps(steps)
    return scheduler.timesteps + 1  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("steps", [2, 10, 20, 50, 1000])
def test_spacings(name: str, steps: int) -> None:
    times: Grid = GRIDS[name](steps)
    assert (times(Linear()) * 1000).round().long().tolist() == [*spaced(name, steps).tolist(), 0]


def test_leading_leaves_out_the_noise_where_steps_do_not_divide_the_chain() -> None:
    """Of 600 steps theirs are the 600 nearest to the data: they begin where the alpha of Ho et al. is still 0.16."""
    assert spaced("leading", 600).tolist() == list(range(600, 0, -1))
    assert Linear()(torch.tensor(0.6, dtype=torch.float64))[0].item() == pytest.approx(0.16, abs=0.01)
    assert Leading(600)(Linear())[0].item() == 0.999


def test_a_single_linspace_step_of_theirs_begins_at_the_data() -> None:
    assert spaced("linspace", 1).tolist() == [1]
    assert Linspace(1)(Linear()).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("name", "steps", "off"),
    [("leading", 20, 0), ("linspace", 20, 0.04), ("trailing", 30, 0.01)],
)
def test_ddim_leaves_its_own_ladder(name: str, steps: int, off: float) -> None:
    """Each step goes 1000 // steps down, which need not be where the next begins.

    For data that are all 0 DDIM is exact: x is as large as sigma at every step. Ours is, theirs is off by more than
    `off` of it.
    """
    times, schedule = GRIDS[name](steps)(Linear()), Linear()
    sigma = schedule(times)[1]
    x = torch.ones(1, 1, dtype=torch.float64)
    states = drive(Ddim(), lambda x, t: torch.zeros_like(x), schedule, x, times, Noise(0, [0]))
    torch.testing.assert_close(torch.cat([state.x[0] for state in states]), sigma[1:] / sigma[0])
    with in_float64():
        scheduler = diffusers.DDIMScheduler(timestep_spacing=name, clip_sample=False)
        scheduler.set_timesteps(steps)
        far = []
        for t, begins in zip(scheduler.timesteps, (sigma / sigma[0]).tolist(), strict=False):
            far.append(abs(x.item() / begins - 1))
            x = scheduler.step(x / (1 - scheduler.alphas_cumprod[t]).sqrt(), t, x, return_dict=False)[0]
    assert max(far) > off if off else max(far) < 1e-9
