"""Densities against their contract, and against the distributions in their papers."""

import math
from collections.abc import Callable

import pytest
import torch
from parts import SCHEDULES, every
from torch import Tensor

from diffkit.compose.build import create
from diffkit.compose.registry import registry
from diffkit.core.objective import TimeDensity
from diffkit.core.schedule import Schedule
from diffkit.standard.densities import CosineMap, EdmDensity, Importance, LogitNormal, Mode, UniformDensity
from diffkit.standard.schedules import Cosine, Edm, Flow, Linear
from diffkit.testing import check_density


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
@pytest.mark.parametrize("density", every("density"))
def test_contract(density: TimeDensity, schedule: Schedule) -> None:
    check_density(density, [schedule])


def quantiles(n: int = 1000) -> Tensor:
    return (torch.arange(n, dtype=torch.float64) + 0.5) / n


def test_uniform() -> None:
    assert (UniformDensity()(Cosine(), quantiles()) == quantiles()).all()


def test_logit_normal() -> None:
    t = LogitNormal(0.5, 1.5)(Flow(), quantiles())
    torch.testing.assert_close(torch.special.ndtr((t.logit() - 0.5) / 1.5), quantiles())


@pytest.mark.parametrize("schedule", [Cosine(), Flow(), Flow(3.0), Edm(1e4)], ids=str)
def test_edm_density_is_log_normal_in_the_noise_level_on_any_schedule(schedule: Schedule) -> None:
    t = EdmDensity(-0.4, 1.0)(schedule, quantiles())
    level = -schedule.logsnr(t) / 2
    torch.testing.assert_close(torch.special.ndtr(level + 0.4), quantiles(), rtol=0, atol=1e-5)


def test_edm_density_stays_on_a_schedule_that_ends_early() -> None:
    t = EdmDensity(3.0, 1.0)(Edm(2.0), quantiles())
    assert t.max() == 1
    assert (t == 1).double().mean().item() == pytest.approx(0.99, abs=0.01)


PUBLISHED: dict[TimeDensity, Callable[[Tensor], Tensor]] = {
    UniformDensity(): torch.ones_like,
    CosineMap(): lambda t: 2 / (math.pi * (1 - 2 * t + 2 * t**2)),
    LogitNormal(0.3, 0.8): lambda t: (
        torch.exp(-(((t.logit() - 0.3) / 0.8) ** 2) / 2) / (0.8 * math.sqrt(2 * math.pi) * t * (1 - t))
    ),
}


@pytest.mark.parametrize("density", PUBLISHED, ids=str)
def test_the_histogram_is_the_published_density(density: TimeDensity) -> None:
    n, cells = 20000, 20
    got = torch.histc(density(Flow(), quantiles(n)), cells, 0, 1) / n
    inside = quantiles(n).reshape(cells, -1)  # the integral of the density over each cell
    torch.testing.assert_close(got, PUBLISHED[density](inside).mean(1) / cells, rtol=0, atol=2 / n + 1e-5)


@pytest.mark.parametrize("scale", [-1.0, -0.4, 0.0, 1.29, 1.75])
def test_mode(scale: float) -> None:
    """A monotone map of [0, 1] onto itself that is Esser's; it is uniform at 0, and its mode is in the middle."""
    u = quantiles()
    t = Mode(scale)(Flow(), u)
    torch.testing.assert_close(t, 1 - u - scale * (torch.cos(math.pi / 2 * u) ** 2 - 1 + u))
    assert (t.diff() < 0).all()
    slope = (t[500] - t[499]).item() * 1000  # 1 / p(1/2) is minus the slope where u is 1/2
    assert slope == pytest.approx(-1 - scale * (1 - math.pi / 2), rel=1e-6, abs=1e-5)


def test_the_cosine_map_puts_the_straight_paths_logsnr_where_the_cosine_path_has_it() -> None:
    u = quantiles()
    torch.testing.assert_close(Flow().logsnr(CosineMap()(Flow(), u)), -2 * torch.tan(math.pi / 2 * u).log())


@pytest.mark.parametrize("name", registry().names("density"))
def test_a_chain_has_the_probability_of_its_cells(name: str) -> None:
    """The times 1/T, 2/T, ..., 1 alone; each as often as times of the cell that ends there."""
    u, T = quantiles(20000), 8
    t = create("density", name, chain=T)(Flow(), u)
    assert set((t * T).tolist()) <= set(range(1, T + 1))
    cells = torch.histc(create("density", name)(Flow(), u), T, 0, 1)
    torch.testing.assert_close(torch.histc(t * T, T, 0.5, T + 0.5), cells, rtol=0, atol=1.01)


@pytest.mark.parametrize("name", registry().names("density"))
@pytest.mark.parametrize("chain", [None, 1000])
def test_the_ends_of_u(name: str, chain: int | None) -> None:
    ends = torch.tensor([0.0, 1 - 2**-53], dtype=torch.float64)
    for schedule in (Linear(), Cosine(), Edm()):
        t = create("density", name, chain=chain)(schedule, ends)
        assert torch.isfinite(t).all()
        assert ((t >= (0 if chain is None else 1 / chain)) & (t <= 1)).all()


def loss(t: Tensor) -> Tensor:
    """One that importance helps with: most of it is near the data."""
    return 1 / (0.02 + t)


def trained(chain: int | None = None, floor: float = 0.001) -> Importance:
    density = Importance(50, floor=floor, chain=chain)
    for _ in range(30):
        density.observe(quantiles(200), loss(quantiles(200)))
    return density


def test_importance_is_in_proportion_to_the_root_of_the_mean_square() -> None:
    t = trained(floor=0.0)(Cosine(), quantiles(100000))
    got = torch.histc(t, 50, 0, 1) / 100000
    wanted = loss(quantiles(200)).square().reshape(50, -1).mean(1).sqrt()
    torch.testing.assert_close(got, wanted / wanted.sum(), rtol=1e-2, atol=1e-4)


@pytest.mark.parametrize("chain", [None, 50, 60])
def test_importance_leaves_the_objective_and_lowers_its_variance(chain: int | None) -> None:
    density = trained(chain)
    t = density(Cosine(), quantiles(100000))
    corrected = loss(t) * density.correction(t)
    uniform = loss(UniformDensity(chain)(Cosine(), quantiles(100000)))
    assert corrected.mean().item() == pytest.approx(uniform.mean().item(), rel=2e-3)
    assert corrected.var() < uniform.var() / 10


def test_importance_is_uniform_until_every_cell_is_known() -> None:
    density = Importance(4, memory=2)
    density.observe(torch.tensor([0.1, 0.2, 0.3, 0.4, 0.6, 0.7]).double(), torch.arange(6).double())
    torch.testing.assert_close(density(Cosine(), quantiles()), quantiles())
    density.observe(torch.tensor([0.8, 0.9]).double(), torch.ones(2).double())
    assert not torch.allclose(density(Cosine(), quantiles()), quantiles(), atol=1e-2)


def test_importance_forgets() -> None:
    """After `memory` losses of another size in a cell, most of what is expected there is of that size."""
    density = Importance(1, memory=10)
    for size in (1.0, 3.0):
        for _ in range(40):
            density.observe(torch.tensor([0.5]).double(), torch.tensor([size]).double())
        assert density.squares.item() == pytest.approx(size**2, rel=0.02)


def test_the_share_of_times_that_stays_uniform() -> None:
    density = Importance(2, floor=0.4)
    for _ in range(20):
        density.observe(torch.tensor([0.2, 0.7]).double(), torch.tensor([1.0, 0.0]).double())
    later = (density(Cosine(), quantiles()) > 0.5).double().mean().item()
    assert later == pytest.approx(0.2, abs=2e-3)


class Forgetful(Importance):
    """Follows the losses, and does not correct for it."""

    def correction(self, t: Tensor) -> Tensor:
        return torch.ones_like(t)


def test_a_density_that_changes_the_objective_is_caught() -> None:
    with pytest.raises(AssertionError, match="the corrected mean of t² after losses is off"):
        check_density(Forgetful(), [Cosine()])
