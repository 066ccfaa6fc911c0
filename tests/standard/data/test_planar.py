"""Points in the plane: their moments and shares in closed form, and where they lie."""

import math

import pytest
import torch

from diffkit.compose.build import create
from diffkit.standard.data.checkerboard import DARK

ROWS = 200_000
NAMES = ("moons", "spirals", "rings", "checkerboard", "swissroll", "gaussians")
NOISY = [name for name in NAMES if name != "checkerboard"]
MADE = [*((name, {"noise": 0.0}) for name in NOISY), ("checkerboard", {}), ("moons", {"noise": 0.3})]


def made(name, rows=ROWS, **values):
    """Points in their own units, and their classes."""
    data = create("data", name, seed=0, rows=rows, **values)
    columns = data.read("train")
    return data, data.spec.restore(columns["x"]), columns.get("label")


def shares(label, classes):
    return torch.bincount(label, minlength=classes) / len(label)


@pytest.mark.parametrize(("name", "values"), MADE)
def test_standardised_by_the_moments_in_closed_form(name, values):
    data, x, _ = made(name, **values)
    assert torch.allclose(data.spec.standardise(x).mean(0), torch.zeros(2), atol=0.01)
    assert torch.allclose(data.spec.standardise(x).std(0), torch.ones(2), atol=0.01)


@pytest.mark.parametrize("name", NAMES)
def test_splits_are_different_points_and_the_same_in_every_run(name):
    data, again = (create("data", name, seed=seed, rows=300, held_out=200) for seed in (0, 1))
    train, test = data.reference("train")["x"], data.reference("test")["x"]
    assert len(train) == 300 and len(test) == 200 and not torch.isin(test, train).any()
    assert torch.equal(train, again.reference("train")["x"])
    assert data.spec.names == ("x", "y") and data.spec.units == ("", "")


@pytest.mark.parametrize("name", NAMES)
def test_every_class_has_a_name_and_its_share(name):
    data, _, label = made(name)
    classes = len(data.spec.class_names)
    assert data.spec.conditions == ({"label": classes} if classes else {})
    if classes:
        weights = torch.arange(1.0, 4) if name == "rings" else torch.ones(classes)
        assert torch.allclose(shares(label, classes), weights / weights.sum(), atol=0.005)


@pytest.mark.parametrize("name", NOISY)
def test_noise_is_normal_and_beside_everything(name):
    still, moved = (made(name, 50_000, noise=noise)[1] for noise in (0.0, 0.25))
    noise = (moved - still) / 0.25
    assert torch.allclose(noise.T.cov(), torch.eye(2), atol=0.03)
    assert noise.pow(4).mean().item() == pytest.approx(3, abs=0.1)


def test_a_moon_is_a_half_circle():
    _, x, label = made("moons", 1000, noise=0.0)
    for moon, centre, side in ((0, (0.0, 0.0), 1), (1, (1.0, 0.5), -1)):
        offset = x[label == moon] - torch.tensor(centre)
        assert torch.allclose(offset.norm(dim=1), torch.ones(500), atol=1e-5)
        assert (side * offset[:, 1] > -1e-5).all()


def test_spirals_wind_out_evenly():
    _, x, label = made("spirals", noise=0.0)
    radius, angle = x.norm(dim=1), torch.atan2(x[:, 1], x[:, 0])
    turn = 4 * math.pi * radius + math.pi * label - angle
    assert torch.allclose((turn / 2).sin(), torch.zeros(()), atol=2e-3)  # whole turns
    inner = torch.linspace(0.1, 0.9, 9)
    assert torch.allclose((radius[:, None] < inner).float().mean(0), inner**2, atol=0.005)


@pytest.mark.parametrize("rings", [1, 3, 4])
def test_rings_are_equally_dense(rings):
    data, x, label = made("rings", rings=rings, noise=0.0)
    assert torch.allclose(x.norm(dim=1), label + 1.0, atol=1e-5)
    density = shares(label, rings) / torch.arange(1.0, rings + 1)
    assert torch.allclose(density, density.mean().expand(rings), atol=0.005)
    assert data.spec.class_names[-1] == f"radius {rings}"
    quarter = ((x[:, 0] > 0) & (x[:, 1] > 0)).float().mean().item()
    assert quarter == pytest.approx(1 / 4, abs=0.005)


def test_a_board_is_dark_evenly_and_light_nowhere():
    data, x, label = made("checkerboard")
    place = (x + 2).floor().long()
    assert torch.equal(place, torch.tensor(DARK)[label])
    assert data.spec.class_names == ("a1", "a3", "b2", "b4", "c1", "c3", "d2", "d4")
    quarters = 2 * place + ((x + 2).frac() > 0.5)
    counts = torch.bincount(quarters[:, 0] * 8 + quarters[:, 1], minlength=64)
    assert (counts == 0).sum() == 32
    assert torch.allclose(counts[counts > 0] / ROWS, torch.full((32,), 1 / 32), atol=0.002)


def test_a_roll_is_a_spiral_of_even_steps_in_angle():
    _, x, _ = made("swissroll", noise=0.0)
    t = x.norm(dim=1)
    assert torch.allclose(x, t[:, None] * torch.stack([t.cos(), t.sin()], 1), atol=1e-3)
    levels = torch.linspace(0.1, 0.9, 9)
    assert torch.allclose(t.quantile(levels), math.pi * (1.5 + 3 * levels), atol=0.05)


def test_modes_are_normal_distributions():
    _, x, label = made("gaussians", modes=5, noise=0.2)
    for k in range(5):
        mode = x[label == k]
        centre = torch.tensor([math.cos(2 * math.pi * k / 5), math.sin(2 * math.pi * k / 5)])
        assert torch.allclose(mode.mean(0), centre, atol=0.005)
        assert torch.allclose(mode.T.cov(), 0.04 * torch.eye(2), atol=0.002)


def test_a_picture_of_panels():
    data, x, _ = made("swissroll", 60)
    width, height = data.draw(x.reshape(1, 2, 30, 2)).size
    assert width > height > 0
