"""Metrics of features against their formulas, written out pair by pair."""

import math

import pytest
import torch

from diffkit import compose
from diffkit.compose.build import build_metrics, create
from diffkit.core.errors import DiffkitError
from diffkit.standard.features import Values
from diffkit.standard.metrics.kernel import cubic
from diffkit.standard.metrics.manifold import Manifold, inside
from diffkit.standard.metrics.mmd import mmd


@pytest.fixture(scope="module")
def moons():
    return create("data", "moons", seed=0)


def rows(n, d, seed, shift=0.0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + shift


def four(real, drawn, k, moons):
    return {name: float(value) for name, value in Manifold(moons, Values(), k).compare(real, drawn).items()}


def by_hand(real, drawn, k):
    """Precision, recall, density and coverage by four loops over pairs."""

    def radius(x, others):
        return sorted(math.dist(x, y) for y in others)[k]  # the nearest is the row itself

    x, y = real.tolist(), drawn.tolist()
    r, s = [radius(a, x) for a in x], [radius(b, y) for b in y]
    return {
        "precision": sum(any(math.dist(b, a) <= e for a, e in zip(x, r, strict=True)) for b in y) / len(y),
        "recall": sum(any(math.dist(a, b) <= e for b, e in zip(y, s, strict=True)) for a in x) / len(x),
        "density": sum(math.dist(b, a) <= e for b in y for a, e in zip(x, r, strict=True)) / k / len(y),
        "coverage": sum(any(math.dist(b, a) <= e for b in y) for a, e in zip(x, r, strict=True)) / len(x),
    }


@pytest.mark.parametrize(("k", "shift"), [(1, 0.0), (3, 0.5), (5, 1.5)])
def test_the_four_figures_are_those_of_every_pair(moons, k, shift):
    real, drawn = rows(40, 3, 0), rows(30, 3, 1, shift)
    assert four(real, drawn, k, moons) == pytest.approx(by_hand(real, drawn, k), abs=1e-12)


def test_rows_themselves_and_rows_elsewhere(moons):
    real = rows(50, 2, 0)
    # a row is in its own ball, and in those of as many others as have it among their k nearest: k on the average
    same = four(real, real[torch.randperm(50)], 5, moons)
    assert same == pytest.approx({"precision": 1, "recall": 1, "density": 6 / 5, "coverage": 1})
    assert four(real, real + 100, 5, moons) == {"precision": 0, "recall": 0, "density": 0, "coverage": 0}


def test_a_part_of_what_is_real_is_precise_and_does_not_cover(moons):
    real, half = torch.cat([rows(60, 2, 0), rows(60, 2, 1, 20.0)]), rows(120, 2, 2)
    found = four(real, half, 3, moons)
    assert found["precision"] > 0.9 and found["density"] > 0.9
    assert found["recall"] <= 0.5 and found["coverage"] <= 0.5


def test_the_expected_coverage_of_equal_numbers(moons):
    """1 - 2^-k for many rows, whatever they are (Naeem et al. 2020)."""
    found = [four(rows(400, 2, i), rows(400, 2, 1000 + i), 2, moons)["coverage"] for i in range(6)]
    assert sum(found) / 6 == pytest.approx(3 / 4, abs=0.02)


def test_rows_in_memory_at_a_time_change_nothing(monkeypatch):
    a, b = rows(23, 4, 0), rows(17, 4, 1)
    whole = inside(a, b, 3)
    monkeypatch.setattr("diffkit.standard.metrics.manifold.CHUNK", 5)
    assert torch.equal(inside(a, b, 3), whole) and 0 < whole.sum() < whole.numel()


def test_too_few_rows_for_a_neighbour_are_refused(moons):
    with pytest.raises(DiffkitError, match="neighbours=5 needs more than 5 rows, and there are 5"):
        four(rows(9, 2, 0), rows(5, 2, 1), 5, moons)


def test_the_kernel_distance_is_that_of_every_pair():
    a, b = rows(7, 3, 0), rows(5, 3, 1, 0.3)

    def mean(pairs):
        values = [(sum(p * q for p, q in zip(x.tolist(), y.tolist(), strict=True)) / 3 + 1) ** 3 for x, y in pairs]
        return sum(values) / len(values)

    within = [mean([(x, y) for i, x in enumerate(s) for j, y in enumerate(s) if i != j]) for s in (a, b)]
    expected = sum(within) - 2 * mean([(x, y) for x in a for y in b])
    assert mmd(a, b, cubic).item() == pytest.approx(expected, rel=1e-12)
    assert mmd(b, a, cubic).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("n", "m"), [(20, 8)])
def test_the_kernel_distance_has_no_bias_in_sets_of_any_size(n, m):
    """Over many draws its mean is 0 for one distribution, and for two that of the moments, within four errors."""
    for shift in (0.0, 1.0):
        found = torch.stack([mmd(rows(n, 1, i), rows(m, 1, 10_000 + i, shift), cubic) for i in range(1500)])
        error = found.std() / len(found) ** 0.5
        # k(x, y) = 1 + 3 x y + 3 (x y)^2 + (x y)^3, so that the distances of the moments count
        expected = 3 * 1**2 + 3 * (2 - 1) ** 2 + 4**2 if shift else 0.0
        assert abs(found.mean() - expected) < 4 * error


def test_features_are_chosen_as_parts_within_the_metric(moons):
    cfg = compose(["metric=[frechet,kernel,manifold]", "features@metric.frechet.features=values"])
    metrics = build_metrics(cfg, moons, 0)
    assert metrics["frechet"].features == Values() != metrics["kernel"].features
    with pytest.raises(DiffkitError, match=r"choose it with features@metric.frechet.features=NAME"):
        compose(["metric=[frechet]", "metric.frechet.features=3"])
