"""Metrics of two sets of rows against closed forms, formulas written independently, and peers."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import energy_distance as root_of_cumulative, wasserstein_distance

from diffkit.compose.build import create
from diffkit.core.data import KNOWN, Data, DataSpec
from diffkit.core.errors import DiffkitError
from diffkit.standard.metrics.column_wasserstein import wasserstein
from diffkit.standard.metrics.correlation import correlation_error
from diffkit.standard.metrics.energy import energy_distance
from diffkit.standard.metrics.mmd import gaussians, median_distance, mmd
from diffkit.standard.metrics.two_sample import two_sample


def normal(n, d, seed=0, mean=0.0, scale=1.0):
    g = torch.Generator().manual_seed(seed)
    return mean + scale * torch.randn(n, d, generator=g, dtype=torch.float64)


def folded(mean, deviation):
    """E|Z| of a normal Z."""
    density = math.sqrt(2 / math.pi) * deviation * math.exp(-((mean / deviation) ** 2) / 2)
    return density + mean * math.erf(mean / deviation / math.sqrt(2))


@pytest.mark.parametrize(("mean", "scale"), [(0.0, 1.0), (0.7, 1.0), (0.0, 2.0)])
def test_energy_of_two_normals(mean, scale):
    n = 3000
    a, b = normal(n, 1), normal(n, 1, 1, mean, scale)
    # rows paired with themselves are a share 1/n of all pairs
    expected = 2 * folded(mean, math.hypot(1, scale)) - (1 - 1 / n) * (folded(0, 2**0.5) * (1 + scale))
    assert energy_distance(a, b).item() == pytest.approx(expected, abs=0.01)
    known = root_of_cumulative(a[:, 0].numpy(), b[:, 0].numpy()) ** 2
    assert energy_distance(a, b).item() == pytest.approx(known, rel=1e-6, abs=1e-9)


def test_energy_and_mmd_over_all_pairs_one_by_one():
    a, b = normal(7, 3), normal(1030, 3, 1, 0.5)[-5:]
    a, b = torch.cat([a, normal(1025, 3, 2)]), torch.cat([b, b + 1])  # more than are in memory at a time
    widths = torch.tensor([0.5, 2.0], dtype=torch.float64)

    def distance(x, y):
        return (x[:, None] - y).square().sum(-1).sqrt()

    def kernel(x, y):
        return sum((-(distance(x, y) ** 2) / (2 * w * w)).exp() for w in (0.5, 2.0)) / 2

    def others(k):
        return k[~torch.eye(len(k), dtype=torch.bool)].mean()

    expected = 2 * distance(a, b).mean() - distance(a, a).mean() - distance(b, b).mean()
    assert energy_distance(a, b).item() == pytest.approx(expected.item(), rel=1e-6)
    expected = others(kernel(a, a)) + others(kernel(b, b)) - 2 * kernel(a, b).mean()
    assert mmd(a, b, gaussians(widths)).item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("mean", [0.0, 0.6])
def test_mmd_of_two_normals(mean):
    w, d = 0.8, 2
    # E k(x, y) = (w^2 / (w^2 + 2))^(d/2) exp(-|mean|^2 / (2 (w^2 + 2))) for unit variances
    spread = w * w + 2
    expected = 2 * (w * w / spread) ** (d / 2) * (1 - math.exp(-d * mean * mean / (2 * spread)))
    kernel = gaussians(torch.tensor([w]).double())
    found = [mmd(normal(400, d, 2 * i), normal(300, d, 2 * i + 1, mean), kernel) for i in range(40)]
    values = torch.stack(found)
    error = values.std().item() / len(values) ** 0.5
    assert values.mean().item() == pytest.approx(expected, abs=3.5 * error)  # without bias
    assert error < 0.002


def test_the_median_distance_is_among_rows_of_all_kinds():
    near, far = normal(5000, 2), normal(5000, 2, 1, 100.0)
    # the distance of two normals in the plane is Rayleigh's with scale root 2
    assert median_distance(near).item() == pytest.approx(2 * math.sqrt(math.log(2)), rel=0.05)
    assert median_distance(torch.cat([near, far])).item() > 10  # not of the first rows alone


def test_two_sample_of_one_distribution_and_of_others():
    a = normal(800, 2)
    accuracies = [two_sample(a, normal(800, 2, seed), 2000).item() for seed in range(1, 6)]
    # the deviation of a share of 1600 is 0.0125, and the better of two is about half of it higher
    assert min(accuracies) > 0.47 and max(accuracies) < 0.54 and 0.48 < np.mean(accuracies) < 0.525
    assert two_sample(a, normal(800, 2, 1, 8.0), 2000).item() > 0.99


@pytest.mark.parametrize("shift", [0.5, 1.5])
def test_two_sample_reaches_the_best_classifier(shift):
    best = 0.5 * (1 + math.erf(shift / 2 / math.sqrt(2)))  # a threshold half way between the means
    other = normal(1000, 3, 1) + torch.tensor([shift, 0.0, 0.0], dtype=torch.float64)
    assert two_sample(normal(1000, 3), other, 2000).item() == pytest.approx(best, abs=0.025)


def test_two_sample_sees_more_than_means():
    g = torch.Generator().manual_seed(0)
    a = normal(600, 2)
    turned = a @ torch.tensor([[1.0, 1.0], [0.0, 0.2]], dtype=torch.float64)
    assert two_sample(a / a.std(0), turned / turned.std(0), 2000).item() > 0.8  # a correlation
    angle = 2 * math.pi * torch.rand(600, generator=g, dtype=torch.float64)
    ring = torch.stack([angle.cos(), angle.sin()], 1) * 2**0.5
    assert two_sample(a, ring, 2000).item() > 0.7  # the same mean and covariance


def test_two_sample_takes_equal_numbers_whatever_the_order():
    a, b = normal(300, 2), normal(900, 2, 1, 0.5)
    b = b[b[:, 0].argsort()]
    value = two_sample(a, b, 200).item()
    mixed = b[torch.randperm(900, generator=torch.Generator().manual_seed(0))]
    assert two_sample(a.flip(0), mixed, 200).item() == value
    assert value < 0.75  # of 300 against 900 rows, always saying `the second` is right three times out of four
    with pytest.raises(DiffkitError, match="5 samples and held-out rows or more, and there are 4"):
        two_sample(a[:4], b, 200)


def test_wasserstein_of_a_column():
    a, b = normal(50_000, 1)[:, 0], normal(40_000, 1, 1, 0.0, 3.0)[:, 0]
    # quantiles z and 3 z: twice the mean of |z|
    assert wasserstein(a, b).item() == pytest.approx(2 * folded(0, 1), abs=0.03)
    assert wasserstein(a[:7], a[:7].flip(0) + 4).item() == pytest.approx(4)
    # 0 and 3 against 1, 1, 3: a third of the values move by 1, a sixth by 2
    few = torch.tensor([0.0, 3.0]).double(), torch.tensor([1.0, 1.0, 3.0]).double()
    assert wasserstein(*few).item() == pytest.approx(1 / 2 + 2 / 6)


def test_correlation_is_the_error_over_pairs():
    a, b = normal(40, 4), normal(60, 4, 1) @ normal(4, 4, 2)
    ra, rb = np.corrcoef(a.T), np.corrcoef(b.T)
    pairs = [(ra[i, j] - rb[i, j]) ** 2 for i in range(4) for j in range(i)]
    assert correlation_error(a, b).item() == pytest.approx(np.sqrt(np.mean(pairs)))
    assert correlation_error(a, 3 * a + 5).item() == pytest.approx(0, abs=1e-9)
    both = a[:, :1].expand(-1, 2)
    assert correlation_error(both, both * torch.tensor([1.0, -1.0])).item() == pytest.approx(2)
    still = torch.stack([a[:, 0], torch.full((40,), 1 / 3, dtype=torch.float64)], 1)
    assert correlation_error(still, both).item() == pytest.approx(1)


class Table(Data):
    """Two correlated columns in units of their own, a tenth of the second one missing."""

    spec = DataSpec((2,), unit=("mm", "g"), names=("length", "mass"), mean=(40.0, 4000.0), scale=(5.0, 800.0))

    def reference(self, split):
        x = normal(400, 2, len(split)).float()
        x[:, 1] = 0.6 * x[:, 0] + 0.8 * x[:, 1]
        known = torch.ones(400, 2, dtype=torch.bool)
        known[::10, 1] = False
        return {"x": x.where(known, 0.0), KNOWN: known}

    def draw(self, x, titles=()):
        raise NotImplementedError


def found(name, x, data=None):
    metric = create("metric", name, data=data or Table())
    metric.update(x[:150], {})
    metric.update(x[150:], {})
    return metric.compute()


def test_columns_are_judged_in_their_own_units_and_without_missing_values():
    data = Table()
    x = data.spec.own(data.reference("test"))["x"]
    assert x.isnan().sum() == 40
    moved = found("column_wasserstein", x + torch.tensor([2.0, 300.0]))
    assert list(moved) == ["length (mm)", "mass (g)"]
    assert moved["length (mm)"].item() == pytest.approx(2) and moved["mass (g)"].item() == pytest.approx(300)
    train = data.spec.own(data.reference("train"))["x"]
    a, b = (rows[:, 1][~rows[:, 1].isnan()].double().numpy() for rows in (train, x))
    assert found("column_wasserstein", train)["mass (g)"].item() == pytest.approx(wasserstein_distance(a, b))
    with pytest.raises(DiffkitError, match=r"no row has a value of mass \(g\)"):
        found("column_wasserstein", x * torch.tensor([1.0, torch.nan]))


@pytest.mark.parametrize("name", ["energy", "mmd", "two_sample", "correlation", "sliced_wasserstein"])
def test_rows_with_missing_values_are_left_out(name):
    data = Table()
    x = data.spec.own(data.reference("train"))["x"]
    whole = x[~x.isnan().any(1)]
    value = found(name, x)
    assert value.isfinite() and value.item() == found(name, whole).item()
    with pytest.raises(DiffkitError, match="no row has all its values"):
        found(name, x[::10])


def test_correlation_needs_two_values():
    class One(Table):
        spec = DataSpec((1,))

    with pytest.raises(DiffkitError, match="two values a row"):
        create("metric", "correlation", data=One())
