"""Measuring a model on rows: held-out ones, those of a file, and from Python; in the data's own units."""

import json
import math

import numpy as np
import pytest
import small
import torch

import diffkit
from diffkit.compose.build import create, part
from diffkit.core.data import DataSpec
from diffkit.core.errors import DiffkitError
from diffkit.core.evidence import Density, bins
from diffkit.core.model import DiffusionModel
from diffkit.run.evaluate import evaluate
from diffkit.run.measure import measure
from diffkit.run.rows import checked_rows, read_rows
from diffkit.testing.contracts.model_metric import Normal

F64 = torch.float64
FAST = {"likelihood": {"_part_": "likelihood", "tolerance": 1e-3}, "bound": {"_part_": "bound", "steps": 4}}
MOONS = create("data", "moons", seed=0).spec
DIGITS = create("data", "digits", seed=0).spec


def normal():
    """A model of standard normal data."""
    parts = create("prediction", "v"), create("schedule", "cosine"), [], create("codec", "identity")
    return DiffusionModel(Normal(), *parts).eval()


def test_a_density_is_per_the_datas_own_unit():
    x = torch.tensor([[0.7, 2.0], [-1.0, 0.25]], dtype=F64)
    for scale in ((2.0, 0.25), (0.5,)):
        spec = DataSpec(shape=(2,), mean=(0.5, 0.25), scale=scale)
        found = Density(tolerance=1e-6)(normal(), spec, {"x": x}, range(2), 0).nats
        truth = torch.distributions.Normal(torch.tensor([0.5, 0.25]).double(), torch.tensor(scale).double())
        assert torch.allclose(found, truth.log_prob(x).sum(1), atol=1e-4)


def test_rows_with_values_that_are_not_there_have_no_density():
    x = torch.tensor([[0.0, math.nan], [1.0, 2.0]], dtype=F64)
    with pytest.raises(DiffkitError, match=r"1 of 2 rows have values that are not there, and metric=\[likelihood\]"):
        measure(normal(), DataSpec((2,)), {"likelihood": create("metric", "likelihood")}, {"x": x})


@pytest.mark.parametrize("dequantization", ["uniform", "gaussian"])
def test_bits_per_dim_of_a_known_distribution_of_levels(dequantization):
    """Normal noise rounded to levels of a tenth: its entropy is known, and what either bound is above it.

    Uniform noise says of a smooth density what it is over a bin; normal noise has a smaller entropy, and loses that.
    """
    spec = DataSpec(shape=(4,), scale=(10.0,), low=-60.0, high=60.0, quantum=1.0)
    g = torch.Generator().manual_seed(0)
    x = (10 * torch.randn(400, 4, generator=g, dtype=F64)).round()
    metric = create("metric", "likelihood", dequantization=dequantization, tolerance=1e-4)
    found = measure(normal(), spec, {"l": metric}, {"x": x}, batch_size=400)["l"].figures["bits_per_dim"]
    half = torch.tensor(0.05, dtype=F64)
    mass = torch.special.ndtr(x / 10 + half) - torch.special.ndtr(x / 10 - half)
    truth = -mass.log2().mean().item()
    lost = {"uniform": 0.0, "gaussian": math.log2(6 / math.sqrt(2 * math.pi * math.e))}[dequantization]
    assert found.value - lost == pytest.approx(truth, abs=0.06) and found.error < 0.05


def test_the_bound_of_levels():
    spec = DataSpec(shape=(4,), scale=(10.0,), low=-60.0, high=60.0, quantum=1.0)
    x = (10 * torch.randn(300, 4, generator=torch.Generator().manual_seed(0), dtype=F64)).round()
    metric = create("metric", "bound", steps=40, terms=None, logsnr_max=9.0, draws=2)
    found = measure(normal(), spec, {"b": metric}, {"x": x}, batch_size=300)["b"]
    half = torch.tensor(0.05, dtype=F64)
    truth = -(torch.special.ndtr(x / 10 + half) - torch.special.ndtr(x / 10 - half)).log().sum(1).mean().item()
    nll = found.figures["nll"]
    parts = [found.figures[name].value for name in ("prior", "inner", "reconstruction")]
    # the last noise is narrower than a bin, within which a model of smooth data knows no place
    lost = 4 * math.log(0.1 / (math.exp(-4.5) * math.sqrt(2 * math.pi * math.e)))
    assert sum(parts) == pytest.approx(nll.value) and abs(nll.value - lost - truth) < 4 * nll.error
    assert found.figures["bits_per_dim"].value == pytest.approx(nll.value / 4 / math.log(2))
    assert len(found.detail["terms"]) == 39


def test_evaluate_draws_no_samples_and_writes_the_terms(tmp_path, capsys, monkeypatch):
    run = small.run_folder(tmp_path / "run", "class", "moons")
    monkeypatch.setattr("diffkit.run.evaluate.generate", None)
    asked = small.asked(run, n=6, metric=FAST)
    scores = evaluate(asked)
    content = json.loads((run / "evaluation.json").read_text())
    assert content["scores"] == scores and content["n"] == 6 and "sampler" not in content
    assert set(scores["likelihood"]) == {"nll", "detail"} and len(scores["bound"]["detail"]["terms"]) == 3
    assert f"{scores['likelihood']['nll']['value']:.4f}" in capsys.readouterr().out


def test_a_file_and_python_say_the_same(tmp_path):
    run = small.run_folder(tmp_path / "run", "class", "moons")
    x = np.array([[0.1, 0.9], [1.2, -0.4], [0.5, 0.2]])
    np.savez(tmp_path / "points.npz", x=x, label=[0, 1, -1])
    lines = ["x,y,label"] + [f"{a},{b},{c}" for (a, b), c in zip(x, (0, 1, -1), strict=True)]
    (tmp_path / "points.csv").write_text("\n".join(lines))
    values = []
    for name in ("points.npz", "points.csv"):
        asked = small.asked(run, file=str(tmp_path / name), metric={"likelihood": {"_part_": "likelihood"}})
        values.append(
            evaluate({**asked, "n": None} if isinstance(asked, dict) else asked)["likelihood"]["nll"]["value"]
        )
    pipeline = diffkit.load(run)
    found = pipeline.log_likelihood(torch.tensor(x), label=[0, 1, -1])
    assert values[0] == values[1] == pytest.approx(-found.nats.mean().item(), abs=1e-9)
    assert not torch.allclose(found.nats, pipeline.log_likelihood(torch.tensor(x), label=0).nats)
    with pytest.raises(DiffkitError, match="text means nothing"):
        pipeline.log_likelihood(torch.tensor(x), text="a seven")


def test_a_file_is_not_for_metrics_of_samples(tmp_path):
    run = small.run_folder(tmp_path / "run", "class", "moons")
    metric = {**FAST, "nearest": {"_part_": "nearest"}}
    with pytest.raises(DiffkitError, match="leave out nearest"):
        evaluate(small.asked(run, file="points.npz", metric=metric))


@pytest.mark.parametrize(
    ("x", "spec", "message"),
    [
        (np.zeros((3, 5)), MOONS, r"of shape \(3, 5\), and must be \(rows, 2\)"),
        (np.zeros((0, 2)), MOONS, "of shape"),
        (np.array([[0.0, 1.0], [np.nan, 2.0]]), MOONS, "nan in row 1 is not a finite number"),
        (np.full((2, 64), 17.0), DIGITS, "17 in row 0 is not from 0.0 to 16.0 grey level"),
        (np.full((2, 64), 3.5), DIGITS, "3.5 in row 0 is between the levels"),
        (np.array([["a", "b"]]), MOONS, "must be numbers"),
    ],
)
def test_rows_that_are_none_of_the_data(x, spec, message):
    with pytest.raises(DiffkitError, match=message):
        checked_rows(x, {}, spec, "file=x.npz")


def test_rows_may_be_flat_and_have_columns():
    rows = checked_rows(np.full((2, 64), 3), {"label": [1.0, -1.0], "text": ["a", "b"], "other": [0, 0]}, DIGITS, "x")
    assert rows["x"].shape == (2, 1, 8, 8) and rows["label"].tolist() == [1, -1] and rows["text"] == ["a", "b"]
    for label, message in (([1.0], "one entry for each of 2"), ([1.0, 10.0], "from 0 to 9")):
        with pytest.raises(DiffkitError, match=message):
            checked_rows(np.full((2, 64), 3), {"label": label}, DIGITS, "x")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.npz", None, "no such file"),
        ("x.txt", b"1,2", "from .npz and .csv files alone"),
        ("bad.npz", b"no archive", "cannot be read"),
        ("bad.csv", b"1,2\n3", "different numbers of entries"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DiffkitError, match=message):
        read_rows(tmp_path / name, MOONS)


def test_what_has_no_figures():
    unbounded = DataSpec(shape=(2,), quantum=1.0)
    with pytest.raises(DiffkitError, match="need a low and a high"):
        bins(unbounded, torch.zeros(1, 2))
    with pytest.raises(DiffkitError, match="need two draws"):
        part("metric", {"_part_": "bound", "draws": 1})
