"""The moons: their moments in closed form, and where their points lie."""

import pytest
import torch

from diffkit.standard.data.moons import Moons


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_standardised_by_the_moments_in_closed_form(noise: float) -> None:
    x = Moons(noise=noise, points=200_000).reference("train")["x"]
    assert torch.allclose(x.mean(0), torch.zeros(2), atol=0.01)
    assert torch.allclose(x.std(0), torch.ones(2), atol=0.01)


def test_without_noise_each_label_is_a_half_circle() -> None:
    data = Moons(noise=0, points=1000)
    batch = data.reference("test")
    x, label = data.spec.restore(batch["x"]), batch["label"]
    for moon, centre, side in ((0, (0.0, 0.0), 1), (1, (1.0, 0.5), -1)):
        offset = x[label == moon] - torch.tensor(centre)
        assert torch.allclose(offset.norm(dim=1), torch.ones(500), atol=1e-5)
        assert (side * offset[:, 1] > -1e-5).all()


def test_splits_are_different_points_and_the_same_in_every_run() -> None:
    train, test = Moons(seed=0).reference("train")["x"], Moons(seed=0).reference("test")["x"]
    assert not torch.equal(train, test)
    assert torch.equal(train, Moons(seed=1).reference("train")["x"])


def test_a_picture_of_panels() -> None:
    data = Moons(points=60)
    x = data.spec.restore(data.reference("test")["x"]).reshape(1, 2, 30, 2)
    width, height = data.draw(x).size
    assert width > height > 0
