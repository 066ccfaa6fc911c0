"""A noise-aware classifier is trained, kept, and steers another run."""

import numpy as np
import pytest
import small
import torch
import yaml

from diffkit import compose, create, load, load_model
from diffkit.compose.build import build
from diffkit.core.classifier import NoisyClassifier
from diffkit.core.errors import DiffkitError
from diffkit.run.sample import sample
from diffkit.run.train import train

TINY = ["denoiser=mlp", "denoiser.width=32", "guidance=[]", "metric=[]", "logger=[csv]", "preview_every=0"]


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """A run of a few steps."""
    out = tmp_path_factory.mktemp("classifier") / "run"
    few = ["trainer.max_steps=60", "trainer.val_check_interval=60", "task.warmup=5", "optimizer.lr=0.003", f"out={out}"]
    return train(compose(["task=classifier", "conditioner=[]", *TINY, *few]), [])


@pytest.fixture(scope="module")
def unconditional(tmp_path_factory):
    return small.run_folder(tmp_path_factory.mktemp("runs") / "none", "none")


def test_it_learns_and_says_how_well_at_each_level(classifier):
    lines = (classifier / "metrics.csv").read_text().splitlines()
    names, last = lines[0].split(","), dict(zip(lines[0].split(","), lines[-1].split(","), strict=True))
    assert "val_accuracy/6" in names and "val_accuracy/-6" in names
    assert float(last["val_accuracy/6"]) > 0.5 > float(last["val_accuracy/-6"])
    assert not (classifier / "samples").exists()


def test_its_bundle_is_a_classifier_of_any_path(classifier):
    network = load_model(classifier)
    assert isinstance(network, NoisyClassifier)
    x, label = torch.randn(3, 1, 8, 8), torch.tensor([1, -1, 9])
    t = torch.tensor(0.5, dtype=torch.float64)
    alpha, sigma = network.schedule(t)
    found = network.log_prob(x, alpha, sigma, label)
    assert found[1] == 0 and (found[[0, 2]] < 0).all()
    stretched = network.log_prob(3 * x, 3 * alpha, 3 * sigma, label)
    torch.testing.assert_close(found, stretched)
    total = sum(network.log_prob(x, alpha, sigma, torch.full((3,), k)).exp() for k in range(10))
    torch.testing.assert_close(total, torch.ones(3))


def test_a_row_without_a_label_teaches_nothing_and_is_not_counted():
    """The others' losses and the share of them that is right are what they are without it."""
    task = build(compose(["task=classifier", "conditioner=[]", *TINY])).task
    x, eps = torch.randn(2, 4, 1, 8, 8)
    t, label = torch.full((4,), 0.3, dtype=torch.float64), torch.tensor([2, -1, 5, 2])
    kept = torch.tensor([0, 2, 3])
    losses, _ = task.losses(task.model, {"x": x, "label": label}, t, eps, None)
    alone, _ = task.losses(task.model, {"x": x[kept], "label": label[kept]}, t[kept], eps[kept], None)
    assert losses[1] == 0 and (alone > 0).all()
    torch.testing.assert_close(losses[kept], alone)
    with torch.no_grad():
        task.model.head.weight.zero_()
        task.model.head.bias.copy_(10.0 * (torch.arange(10) == 2))  # everything is a two
    shares = task.held_out(task.model, {"x": x, "label": label}, eps)
    assert all(share.item() == pytest.approx(2 / 3) for share in shares.values())


def guided(run, classifier, **values):
    node = {"_part_": "classifier", "run": str(classifier), "scale": 4.0}
    return small.asked(run, guidance={"classifier": node}, n=3, **values)


def test_it_steers_a_model_that_is_told_nothing(unconditional, classifier, tmp_path, capsys):
    """By the command, and by the pipeline with the same samples."""
    out = sample(guided(unconditional, classifier, label=[3, 8], out=str(tmp_path / "a")))
    assert "6 samples: 3 network calls a sample; 2 of classifier" in capsys.readouterr().out
    assert yaml.safe_load((out / "samples.yaml").read_text())["cost"]["others"] == {"classifier": 2}
    with np.load(out / "samples.npz") as file:
        x, label = torch.from_numpy(file["x"]), file["label"]
    assert label.tolist() == [3] * 3 + [8] * 3
    pipeline = load(unconditional)
    part = create("guidance", "classifier", run=str(classifier), scale=4.0, spec=pipeline.spec)
    again = pipeline.sample(label=label.tolist(), guidance=[part], seed=0).x
    torch.testing.assert_close(x, again, rtol=0, atol=1e-3)
    bare = pipeline.sample(n=6, guidance=[], seed=0).x
    assert (x - bare).abs().max() > 0.1


def test_what_cannot_be_is_refused(unconditional, classifier, tmp_path):
    with pytest.raises(DiffkitError, match=r"steers towards a label, and there is none: give label="):
        sample(guided(unconditional, classifier, out=str(tmp_path)))
    with pytest.raises(DiffkitError, match="holds a NoisyClassifier, which draws no samples"):
        load(classifier)
    with pytest.raises(DiffkitError, match="told nothing but x_t: add conditioner="):
        train(compose(["task=classifier", "conditioner=[class]", *TINY, f"out={tmp_path / 'b'}"]), [])
    with pytest.raises(DiffkitError, match=r"was trained on other data: shape .* instead of"):
        moons = small.run_folder(tmp_path / "moons", "none", "moons")
        create("guidance", "auto", run=str(moons), spec=load(unconditional).spec)
    with pytest.raises(DiffkitError, match="does not denoise"):
        create("guidance", "auto", run=str(classifier), spec=load(unconditional).spec)


def test_autoguidance_by_another_run_is_between_and_beyond_the_two(tmp_path):
    """With scale 1 + s it adds s times the difference to a worse run of other conditioners; 1 is off."""
    good = load(small.run_folder(tmp_path / "good", "text"))
    worse = small.run_folder(tmp_path / "worse", "class")
    asked = {"text": ["a three"] * 3, "seed": 1}

    def samples(scale):
        return good.sample(
            **asked, guidance=[create("guidance", "auto", run=str(worse), scale=scale, spec=good.spec)]
        ).x

    bare = good.sample(**asked, guidance=[]).x
    torch.testing.assert_close(samples(1.0), bare, rtol=0, atol=0)
    assert (samples(2.0) - bare).abs().max() > 0.1
