"""Evaluating asks for what held-out rows are, and puts real rows in the samples' place."""

import json

import pytest
import small
import torch

from diffkit.compose.build import create, part
from diffkit.core.denoiser import DenoiserNetwork
from diffkit.core.errors import DiffkitError
from diffkit.core.model import DiffusionModel
from diffkit.run.evaluate import count, evaluate, evaluate_model
from diffkit.run.generate import Sampling

NAMES = ("agreement", "frechet", "sliced_wasserstein", "nearest")
NODES = {name: {"_part_": name} for name in NAMES}


@pytest.fixture(scope="module")
def moons():
    return create("data", "moons", seed=0, rows=500, held_out=500)


class Exact(DenoiserNetwork):
    """The exact denoiser of labelled rows: the mean of those of the label, weighed by their likelihood."""

    def __init__(self, rows):
        super().__init__()
        self.x, self.label = rows["x"], rows["label"]

    def forward(self, x, logsnr, condition):
        a, s = logsnr[0].sigmoid().sqrt(), (-logsnr[0]).sigmoid().sqrt()
        distance = (x[:, None] - a * self.x).square().sum(-1) / (2 * s * s)
        other = condition.vector[:, :1] != self.label
        return (-distance).masked_fill(other, -torch.inf).softmax(1) @ self.x


def exact(moons):
    conditioner = create("conditioner", "class", classes=2, width=1)
    conditioner.embedding.weight.data = torch.tensor([[0.0], [1.0]])
    parts = create("prediction", "x0"), create("schedule", "cosine"), [conditioner], create("codec", "identity")
    return DiffusionModel(Exact(moons.reference("train")), *parts)


def sampling(steps=20, scale=1.0):
    return Sampling(
        create("sampler", "ddim"), create("grid", "uniform", steps=steps), [create("guidance", "cfg", scale=scale)]
    )


def test_a_perfect_memory_scores_as_the_training_rows_do(moons):
    metrics = {name: part("metric", node, data=moons) for name, node in NODES.items()}
    scores = evaluate_model(exact(moons), moons, sampling(100), metrics, n=300, seed=0)
    assert list(scores) == list(NAMES)
    assert scores["agreement"]["value"] > 0.99 and scores["agreement"]["real"] > 0.99
    assert scores["nearest"]["real"] == pytest.approx(1) and scores["nearest"]["value"] < 0.5
    for name in ("frechet", "sliced_wasserstein"):
        score = scores[name]
        assert score["real_sd"] > 0
        assert score["value"] < score["real"] + 6 * score["real_sd"]


def test_an_unconditional_model_is_not_asked_for_agreement(moons):
    model = small.model(small.choices("none", "moons"))
    metrics = {name: part("metric", NODES[name], data=moons) for name in ("agreement", "sliced_wasserstein")}
    scores = evaluate_model(model, moons, sampling(2), metrics, n=50)
    assert list(scores) == ["sliced_wasserstein"]
    assert scores["sliced_wasserstein"]["value"] > 2 * scores["sliced_wasserstein"]["real"]


def test_the_figures_depend_on_the_seed_alone(moons):
    model = small.model(small.choices("class", "moons"))
    metrics = {"sw": part("metric", NODES["sliced_wasserstein"], data=moons)}

    def score(seed, size):
        return evaluate_model(model, moons, sampling(2), metrics, n=50, seed=seed, batch_size=size)["sw"]["value"]

    assert score(0, 50) == pytest.approx(score(0, 7), rel=1e-4)
    assert abs(score(0, 50) - score(1, 50)) > 1e-4


def test_how_many(moons):
    assert count(create("data", "digits", seed=0)) == 540
    assert count(create("data", "moons", seed=0)) == 1000 and count(moons, 7) == 7


def test_figures_with_names_of_their_own(moons):
    model = small.model(small.choices("none", "moons"))
    metrics = {"columns": part("metric", {"_part_": "column_wasserstein"}, data=moons)}
    scores = evaluate_model(model, moons, sampling(2), metrics, n=50)
    assert list(scores) == ["columns/x", "columns/y"]
    for score in scores.values():
        assert score["value"] > score["real"] > score["real_sd"] > 0


def test_more_samples_than_held_out_rows():
    digits = create("data", "digits", seed=0)
    model = small.model(small.choices("text"))
    metrics = {"agreement": part("metric", NODES["agreement"], data=digits)}
    scores = evaluate_model(model, digits, sampling(1), metrics, n=600)
    assert scores["agreement"]["real"] == pytest.approx(0.994, abs=0.001)


def test_a_metric_without_the_interface_is_refused(moons):
    from torchmetrics import MeanMetric

    with pytest.raises(DiffkitError, match="metric=mean is no SampleMetric"):
        evaluate_model(exact(moons), moons, sampling(1), {"mean": MeanMetric()}, n=4)


def test_the_command_writes_what_it_prints(tmp_path, capsys):
    run = small.run_folder(tmp_path / "run", "class", "moons")
    scores = evaluate(small.asked(run, n=40, metric={"nearest": NODES["nearest"]}))
    content = json.loads((run / "evaluation.json").read_text())
    assert content["scores"] == scores and content["n"] == 40 and content["sampler"] == {"_part_": "ddim"}
    printed = capsys.readouterr().out
    assert "nearest" in printed and f"{scores['nearest']['value']:.4f}" in printed and "real data" in printed
    evaluate(small.asked(run, n=40, metric={"nearest": NODES["nearest"]}, out=str(tmp_path / "out")))
    assert (tmp_path / "out" / "evaluation.json").read_bytes() == (run / "evaluation.json").read_bytes()


@pytest.mark.parametrize(
    ("values", "message"),
    [({"n": 1}, "at least 2 samples"), ({"batch_size": 0}, "1 in a batch"), ({"metric": {}}, "there is no metric")],
)
def test_mistakes(tmp_path, values, message):
    run = small.run_folder(tmp_path / "run", "class", "moons")
    with pytest.raises(DiffkitError, match=message):
        evaluate(small.asked(run, **{"metric": NODES, **values}))
