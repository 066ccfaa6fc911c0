"""Shapes in space, in metres."""

import pytest
import torch

from diffkit.core.noise import generator
from diffkit.standard.data.shapes import NAMES, Shapes, turned


@pytest.fixture(scope="module")
def data() -> Shapes:
    return Shapes(points=64, clouds=2048)


def test_standardised_by_one_scale(data: Shapes) -> None:
    x = data.reference("train")["x"]
    assert torch.allclose(x.mean((0, 2)), torch.zeros(3), atol=0.03)
    assert x.square().mean().sqrt() == pytest.approx(1, abs=0.02)


def test_a_shape_is_as_wide_as_its_caption_says(data: Shapes) -> None:
    rows = data.read("test")
    x, text = data.spec.restore(rows["x"]), rows["text"]
    for i, (label, captions) in enumerate(zip(rows["label"].tolist(), text, strict=True)):
        name, metres = captions[1].removesuffix(" m").split(", ")
        assert name == NAMES[label] == data.spec.class_names[label]
        assert f"{round(100 * float(metres))} cm" in captions[2]
        rho = x[i, :2].norm(dim=0).max().item()
        if name in ("torus", "helix", "cylinder", "sphere"):
            assert 0.93 * float(metres) < 2 * rho < 1.0001 * float(metres)
        assert rho < 0.5**0.5 * float(metres) * 1.0001
    assert {len(set(captions)) for captions in text} == {4}


def test_clouds_are_the_same_in_every_run_and_others_in_each_split(data: Shapes) -> None:
    again = Shapes(points=64, clouds=2048, seed=1)
    assert torch.equal(again.reference("train")["x"], data.reference("train")["x"])
    assert not torch.equal(data.reference("train")["x"][:1024], data.reference("test")["x"])


def test_in_training_a_cloud_is_turned_about_the_vertical_afresh(data: Shapes) -> None:
    rows = data.reference("test")
    a, b = (data.augment(rows, generator("augment", 0, step)) for step in (0, 1))
    again = data.augment(rows, generator("augment", 0, 0))
    assert torch.equal(a["x"], again["x"])
    assert not torch.allclose(a["x"], b["x"], atol=0.1)
    assert a["text"] == rows["text"]
    x = rows["x"]
    assert torch.equal(a["x"][:, 2], x[:, 2])
    assert torch.allclose(a["x"][:, :2].mT @ a["x"][:, :2], x[:, :2].mT @ x[:, :2], atol=1e-4)
    across = (x[:, 0] * a["x"][:, 1] - x[:, 1] * a["x"][:, 0]).sum(1)
    angle = torch.atan2(across, (x[:, :2] * a["x"][:, :2]).sum((1, 2)))
    assert (angle.cos().mean().abs() + angle.sin().mean().abs()) < 0.15  # any angle is as likely
    assert torch.allclose(turned(x, angle / (2 * torch.pi)), a["x"], atol=1e-4)
