"""How well samples match their prompts, against direct computation."""

from itertools import combinations
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, normalize

import diffkit
from diffkit.core import Codec, Data, DiffkitError
from diffkit.testing import check_metric
from diffkit_clip.metrics import Alignment, RPrecision, precision
from diffkit_clip.network import NoisyCLIP

DIGITS: Data = diffkit.create("data", "digits", seed=0)
NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


class Mean(NoisyCLIP):
    """Words for a digit are its mean picture, and a picture is itself, both as they differ from the mean of all."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.codec: Codec = diffkit.create("codec", "identity", shape=(1, 8, 8))
        rows = DIGITS.reference("train")
        x, label = rows["x"].flatten(1), rows["label"]
        self.middle = nn.Parameter(x.mean(0))
        self.means = torch.stack([x[label == digit].mean(0) for digit in range(10)])

    def images(self, x_t: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        # a picture without noise is told to have as little as the CLIP has learned to see
        assert alpha.item() == 1 and (2 * (alpha / sigma).log()).item() == pytest.approx(12)
        return normalize(x_t.flatten(1) - self.middle, dim=1)

    def texts(self, texts: Any) -> Tensor:
        digit = [next((i for i, name in enumerate(NAMES) if name in text or str(i) in text), 0) for text in texts]
        # different words for one digit differ a little
        wording = torch.tensor([[sum(map(ord, text)) % 97 / 1e4] for text in texts])
        return normalize(self.means[digit] - self.middle + wording, dim=1)


CLIP = Mean().requires_grad_(False)


def load(run: str, spec: Any) -> Mean:
    return CLIP


def samples(rows: int = 60) -> tuple[Tensor, dict[str, Any]]:
    """Held-out pictures in grey levels, every fourth one under another's caption."""
    test = DIGITS.reference("test")
    x, texts = DIGITS.spec.restore(test["x"][:rows]), test["text"][:rows]
    texts = [texts[i - 1] if i % 4 == 0 else text for i, text in enumerate(texts)]
    labels = test["label"][:rows].clone()
    labels[::4] = test["label"][torch.arange(0, rows, 4) - 1]
    labels[0], texts[0] = test["label"][5], test["text"][5]
    return x, {"text": texts, "label": labels}


def alignment(data: Data) -> Alignment:
    return Alignment("means", data, load)


def r_precision(data: Data) -> RPrecision:
    return RPrecision("means", data, load, 5)


def value(metric: Any, x: Tensor, columns: dict[str, Any]) -> float:
    for part in (slice(0, 17), slice(17, None)):
        metric.update(x[part], {name: column[part] for name, column in columns.items()})
    return float(metric.compute())


@pytest.mark.parametrize("metric", [alignment, r_precision])
def test_the_contracts_of_metrics(metric: Any) -> None:
    check_metric(metric, DIGITS)


def vectors(x: Tensor, texts: list[str]) -> tuple[Tensor, Tensor]:
    return DIGITS.spec.standardise(x).flatten(1) - CLIP.middle, CLIP.texts(texts)


def test_alignment_is_the_mean_cosine_of_those_that_have_a_prompt() -> None:
    x, columns = samples()
    pictures, words = vectors(x, columns["text"])
    wanted = cosine_similarity(pictures, words)
    assert value(alignment(DIGITS), x, columns) == pytest.approx(wanted.mean().item(), abs=1e-6)
    columns["text"] = [None if i % 3 == 0 else text for i, text in enumerate(columns["text"])]
    some = wanted[torch.arange(60) % 3 > 0].mean().item()
    assert value(alignment(DIGITS), x, columns) == pytest.approx(some, abs=1e-6)


@pytest.mark.parametrize("labels", [True, False])
@pytest.mark.parametrize("candidates", [1, 2, 4, 100])
def test_r_precision_is_the_mean_over_all_draws_of_other_prompts(candidates: int, labels: bool) -> None:
    """Every sample, and every set of others that it may have; a prompt of the same label is none of them."""
    x, columns = samples(24)
    pictures, words = vectors(x, columns["text"])
    cosines = cosine_similarity(pictures[:, None], words[None], dim=2)
    prompts = list(dict.fromkeys(columns["text"]))
    shares = []
    for i, own in enumerate(columns["text"]):
        alike = {t for t, k in zip(columns["text"], columns["label"], strict=True) if k == columns["label"][i]}
        others = [p for p in prompts if p != own and not (labels and p in alike)]
        scores = [float(cosines[i, columns["text"].index(p)]) for p in others]
        draws = list(combinations(scores, min(candidates - 1, len(scores))))
        shares.append(sum(max(draw, default=-2.0) < float(cosines[i, i]) for draw in draws) / len(draws))
    given = columns if labels else {"text": columns["text"]}
    found = value(RPrecision("means", DIGITS, load, candidates), x, given)
    assert found == pytest.approx(sum(shares) / len(shares), abs=1e-9)
    assert candidates == 1 or 0.2 < found < 0.99


def test_prompts_that_tell_nothing_apart_are_not_precise() -> None:
    """A CLIP for which all is the same gets nothing for it."""
    same = torch.eye(6, dtype=torch.bool)
    assert precision(torch.ones(6, 6).double(), torch.arange(6), same, 3).item() == 0
    assert precision(torch.eye(6).double(), torch.arange(6), same, 3).item() == 1


def test_data_without_captions_and_runs_that_are_no_clip_are_refused() -> None:
    with pytest.raises(DiffkitError, match=r"alignment judges .* and Moons offers no captions: leave it out"):
        Alignment("means", diffkit.create("data", "moons", seed=0), load)
    with pytest.raises(DiffkitError, match="run=x is no CLIP"):
        RPrecision("x", DIGITS, lambda run, spec: nn.Linear(1, 1))
