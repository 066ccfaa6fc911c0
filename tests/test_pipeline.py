"""A trained model in Python: `diffkit.load(...).sample(...)`."""

import pytest
import small
import torch

import diffkit
from diffkit.core.errors import DiffkitError
from diffkit.run.bundle import WEIGHTS


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    return {kind: small.run_folder(root / kind, kind) for kind in small.CONDITIONERS}


def test_text_is_one_for_all_or_one_for_each(runs):
    pipeline = diffkit.load(runs["text"])
    each = pipeline.sample(n=4, text=["a seven"] * 4, seed=0)
    assert each.x.shape == (4, *pipeline.spec.shape) and each.columns == {"text": ["a seven"] * 4}
    assert torch.equal(pipeline.sample(4, "a seven").x, each.x)
    assert torch.equal(pipeline.sample(text=["a seven"] * 4).x, each.x)
    assert not torch.equal(pipeline.sample(4, "a seven", seed=1).x, each.x)
    assert pipeline.sample(text="a seven").x.shape[0] == 1
    assert each.image().width > 100


def test_a_sample_depends_on_its_own_place_alone(runs):
    pipeline = diffkit.load(str(runs["text"]))
    x = pipeline.sample(text=["one", "two", "three"]).x
    torch.testing.assert_close(pipeline.sample(text=["one", "nine"], batch_size=1).x[0], x[0], rtol=0, atol=1e-3)


def test_labels_and_none(runs):
    assert diffkit.load(runs["class"]).sample(label=[1, 2]).columns["label"].tolist() == [1, 2]
    assert diffkit.load(runs["none"]).sample(3).columns == {}


def test_the_runs_choices_can_be_changed(runs):
    pipeline = diffkit.load(runs["text"])
    own = pipeline.sample(2, "two").x
    names = pipeline.sample(2, "two", sampler="ddim", grid="uniform", steps=3, scale=2.0).x
    objects = pipeline.sample(
        2,
        "two",
        sampler=diffkit.create("sampler", "ddim"),
        grid=diffkit.create("grid", "uniform", steps=3),
        guidance=[diffkit.create("guidance", "cfg", scale=2.0)],
    ).x
    assert torch.equal(names, own) and torch.equal(objects, own)
    changes = [{"sampler": "heun"}, {"steps": 7}, {"scale": 5.0}, {"guidance": []}, {"negative": "one"}]
    for change in changes:
        assert (pipeline.sample(2, "two", **change).x - own).abs().max() > 1e-3, change


def test_a_run_and_its_bundle_are_the_same(runs):
    run, bundle = diffkit.load(runs["text"]), diffkit.load(runs["text"] / "bundle")
    assert torch.equal(run.sample(2, "two").x, bundle.sample(2, "two").x)
    assert not any(p.requires_grad for p in run.model.parameters()) and not run.model.training


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"n": 3, "text": ["a", "b"]}, "text has 2 entries for n=3"),
        ({"n": 0}, "n=0"),
        ({"label": 3}, "use prompt="),
        ({"steps": 0}, "grid.steps=0"),
        ({"sampler": "dim"}, "did you mean 'ddim'"),
        ({"scale": -1.0}, "guidance.cfg.scale=-1"),
        ({"guidance": [], "negative": "one"}, "without guidance"),
        ({"guidance": [], "scale": 2.0}, "set them in the objects"),
    ],
)
def test_mistakes_are_said_in_a_sentence(runs, values, message):
    with pytest.raises(DiffkitError, match=message):
        diffkit.load(runs["text"]).sample(**values)


def test_nothing_there(tmp_path):
    with pytest.raises(DiffkitError, match="does not exist"):
        diffkit.load(tmp_path / "none")


def test_damaged_weights_are_noticed(tmp_path):
    run = small.run_folder(tmp_path / "run")
    weights = run / "bundle" / WEIGHTS
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(DiffkitError, match="damaged"):
        diffkit.load(run)
