"""Each metric against what it must give where the answer is known."""

import math
from collections.abc import Mapping

import pytest
import torch
from scipy.linalg import sqrtm
from scipy.stats import wasserstein_distance

from diffkit.compose.build import create
from diffkit.core.data import Data, DataSpec
from diffkit.core.errors import DiffkitError
from diffkit.standard.metrics.frechet import frechet_distance
from diffkit.standard.metrics.nearest import distance_to_nearest
from diffkit.standard.metrics.sliced_wasserstein import sliced_wasserstein


@pytest.fixture(scope="module")
def digits():
    return create("data", "digits", seed=0)


@pytest.fixture(scope="module")
def moons():
    return create("data", "moons", seed=0)


def real(data, split):
    rows = data.reference(split)
    return data.spec.restore(rows["x"]), {name: column for name, column in rows.items() if name != "x"}


def value(metric, x, columns):
    metric.reset()
    for half in (slice(0, len(x) // 3), slice(len(x) // 3, None)):
        metric.update(x[half], {name: column[half] for name, column in columns.items()})
    found = metric.compute()
    return found if isinstance(found, Mapping) else float(found)


METRICS = ("agreement", "frechet", "sliced_wasserstein", "nearest")


def test_frechet_is_the_distance_of_the_two_gaussians():
    g = torch.Generator().manual_seed(0)
    a, b = (
        torch.randn(400, 5, generator=g, dtype=torch.float64) @ torch.randn(5, 5, generator=g).double() for _ in "ab"
    )
    b = b + torch.arange(5.0)
    ca, cb = a.T.cov(), b.T.cov()
    root = torch.from_numpy(sqrtm((ca @ cb).numpy()).real)
    expected = (a.mean(0) - b.mean(0)).square().sum() + (ca + cb - 2 * root).trace()
    assert frechet_distance(a, b).item() == pytest.approx(expected.item(), rel=1e-4)


def test_frechet_of_one_value_and_of_the_same_rows():
    a = torch.tensor([[0.0], [2.0], [4.0]], dtype=torch.float64)
    # N(2, 4) and N(7, 16): 5^2 + (2 - 4)^2
    assert frechet_distance(a, 2 * a + 3).item() == pytest.approx(29, abs=1e-5)
    assert frechet_distance(a, a).item() == pytest.approx(0, abs=1e-5)


def test_sliced_wasserstein_of_a_shift_is_its_mean_projection():
    g = torch.Generator().manual_seed(0)
    a = torch.randn(50, 3, generator=g, dtype=torch.float64)
    shift = torch.tensor([3.0, 0.0, 4.0], dtype=torch.float64)
    # the mean of (theta . shift)^2 over directions is |shift|^2 / d
    assert sliced_wasserstein(a, a + shift, 20_000).item() == pytest.approx(5 / math.sqrt(3), rel=0.01)
    assert sliced_wasserstein(a, a[torch.randperm(50, generator=g)], 10).item() == pytest.approx(0, abs=1e-12)


def test_sliced_wasserstein_of_sets_of_unequal_size():
    a = torch.tensor([[0.0], [1.0], [5.0]], dtype=torch.float64)
    # repeating rows changes no distribution
    assert sliced_wasserstein(a, a.repeat(4, 1), 3).item() == pytest.approx(0, abs=1e-12)
    b = torch.tensor([[0.0], [2.0]], dtype=torch.float64)
    # quantiles: 0-0 on [0,1/3], 1-0 on [1/3,1/2], 1-2 on [1/2,2/3], 5-2 on [2/3,1]
    assert sliced_wasserstein(a, b, 3).item() == pytest.approx(math.sqrt(1 / 6 + 1 / 6 + 9 / 3))
    g = torch.Generator().manual_seed(0)
    c, d = torch.rand(7, 1, generator=g).double(), torch.rand(5, 1, generator=g).double() + 2
    # far apart, the root of the mean square is near the mean distance, which scipy knows
    assert sliced_wasserstein(c, d, 2).item() == pytest.approx(wasserstein_distance(c[:, 0], d[:, 0]), rel=0.05)


def test_nearest_counts_copies_as_nothing():
    b = torch.tensor([[0.0, 0.0], [3.0, 4.0]], dtype=torch.float64)
    assert distance_to_nearest(b, b).item() == 0
    assert distance_to_nearest(torch.tensor([[0.0, 1.0], [3.0, 1.0]]).double(), b).item() == pytest.approx(2)


@pytest.mark.parametrize("name", ["digits", "moons"])
def test_held_out_rows_in_the_samples_place(name, request):
    data = request.getfixturevalue(name)
    x, columns = real(data, "test")
    scores = {metric: value(create("metric", metric, data=data), x, columns) for metric in METRICS}
    assert scores["agreement"] > 0.99
    assert scores["frechet"] == pytest.approx(0, abs=1e-3)
    assert scores["sliced_wasserstein"] == pytest.approx(0, abs=1e-6)
    assert scores["nearest"] == pytest.approx(1)


def test_what_is_wrong_with_samples_shows(digits):
    x, columns = real(digits, "test")
    metrics = {metric: create("metric", metric, data=digits) for metric in METRICS}
    other = {"label": (columns["label"] + 1) % 10}
    assert value(metrics["agreement"], x, other) < 0.01
    copies = real(digits, "train")[0]
    assert value(metrics["nearest"], copies, {}) == pytest.approx(0, abs=1e-6)
    assert 0.2 < value(metrics["frechet"], copies[:540], {}) < 1.2
    blurred = torch.nn.functional.avg_pool2d(x, 3, 1, 1)
    assert value(metrics["frechet"], blurred, {}) > 3
    assert value(metrics["sliced_wasserstein"], blurred, {}) > 0.06


def test_frechet_of_values_needs_no_labels(moons):
    x, columns = real(moons, "train")
    metric = create("metric", "frechet", data=moons, features="values")
    # a shift by one unit of the model's space
    assert value(metric, x + torch.tensor([moons.spec.scale[0], 0.0]), columns) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ("agreement", "agreement needs labels, which Unlabelled does not offer: leave it out"),
        ("frechet", "features=classifier needs labels, which Unlabelled does not offer: choose others"),
    ],
)
def test_metrics_that_need_labels_say_so(metric, said):
    class Unlabelled(Data):
        spec = DataSpec((2,))

        def reference(self, split):
            raise NotImplementedError

        def draw(self, x, titles=()):
            raise NotImplementedError

    with pytest.raises(DiffkitError, match=said):
        create("metric", metric, data=Unlabelled())


def test_the_judge_is_fitted_once(digits, monkeypatch):
    value(create("metric", "agreement", data=digits), *real(digits, "test"))
    monkeypatch.setattr("sklearn.svm.SVC.fit", lambda *_: pytest.fail("fitted again"))
    again = create("data", "digits", seed=1)
    value(create("metric", "agreement", data=again), *real(again, "test"))
