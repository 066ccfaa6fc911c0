"""The Chamfer figures against their definitions, written out, and where their values are known."""

import math

import pytest
import torch
from scipy.spatial import KDTree

from diffkit.core.data import Data, DataSpec
from diffkit.core.errors import DiffkitError
from diffkit.standard.metrics.chamfer import Chamfer, chosen, distances, nn_accuracy


class Clouds(Data):
    """Held-out clouds, in centimetres, kept in metres."""

    def __init__(self, x):
        self.spec, self.x = DataSpec(tuple(x.shape[1:]), unit="cm", mean=(5.0,), scale=(100.0,)), x

    def reference(self, split):
        return {"x": self.spec.standardise(self.x)}

    def draw(self, x, titles=()):
        raise NotImplementedError


def clouds(n, points=20, d=3, seed=0, away=0.0):
    return 10 * torch.randn(n, d, points, generator=torch.Generator().manual_seed(seed)) + away


def padded(x, seed=5):
    """With a random number of points at the end that are not there."""
    some = torch.randint(3, x.shape[2], (len(x), 1), generator=torch.Generator().manual_seed(seed))
    return x.masked_fill((torch.arange(x.shape[2]) >= some)[:, None], math.nan)


def chamfer(a, b):
    a, b = ([p for p in cloud.double().T.tolist() if math.isfinite(p[0])] for cloud in (a, b))
    to_b, to_a = (KDTree(y).query(x)[0].mean() for x, y in ((a, b), (b, a)))
    return (to_b + to_a) / 2


def judged(real, drawn, **settings):
    metric = Chamfer(Clouds(real), **settings)
    metric.update(drawn, {})
    return {name: float(value) for name, value in metric.compute().items()}


@pytest.mark.parametrize("d", [2, 3])
def test_the_distances_are_those_of_the_definition(d):
    a, b = padded(clouds(5, 17, d)), padded(clouds(4, 30, d, seed=1), 6)
    expected = torch.tensor([[chamfer(x, y) for y in b] for x in a])
    torch.testing.assert_close(distances(a, b).double(), expected.double(), rtol=1e-4, atol=0)
    one, other = torch.zeros(1, 3, 2), torch.tensor([[3.0, 3.0], [4.0, 4.0], [0.0, 12.0]])[None]
    assert distances(one, other).item() == pytest.approx((5 + (5 + 13) / 2) / 2)


def test_the_figures_are_those_of_the_definition():
    real, drawn = padded(clouds(9)), padded(clouds(9, seed=1, away=3.0), 6)
    apart = torch.tensor([[chamfer(x, y) for y in drawn] for x in real])
    found = judged(real, drawn)
    assert found["distance"] == pytest.approx(apart.min(1).values.mean().item(), rel=1e-5)
    assert found["coverage"] == pytest.approx(len({column.argmin().item() for column in apart.T}) / 9)
    every = [*real, *drawn]
    right = 0
    for i, cloud in enumerate(every):
        others = [(chamfer(cloud, other), k) for k, other in enumerate(every) if k != i]
        right += (min(others)[1] < 9) == (i < 9)
    assert found["nn_accuracy"] == pytest.approx(right / 18)


def test_the_same_clouds_in_another_order_have_distance_nought_and_cover_all():
    real = padded(clouds(12))
    found = judged(real, real.flip(0))
    assert found == {"distance": pytest.approx(0, abs=1e-5), "coverage": 1.0, "nn_accuracy": 0.0}


def test_clouds_that_are_unlike_are_told_apart_and_halves_of_one_are_not():
    found = judged(clouds(40, 8), clouds(40, 8, seed=1, away=500.0))
    assert found["nn_accuracy"] == 1 and found["distance"] > 400
    # the standard deviation of the share is about 0.04
    assert 0.36 < judged(clouds(90, 6), clouds(90, 6, seed=1))["nn_accuracy"] < 0.64
    one = clouds(1).expand(12, 3, 20) + 1e-3 * clouds(12, seed=2)
    assert judged(clouds(12, seed=3), one)["coverage"] < 0.5


def test_the_unit_is_that_of_the_data_and_no_pose_matters():
    real, drawn = clouds(6), clouds(6, seed=1)
    plain, large = judged(real, drawn), judged(3 * real, 3 * drawn)
    assert large["distance"] == pytest.approx(3 * plain["distance"], rel=1e-4)
    turn = torch.linalg.qr(clouds(1, 3, seed=7)[0]).Q
    moved = judged(turn @ real + 7, turn @ drawn + 7)
    assert moved == {name: pytest.approx(value, rel=1e-3) for name, value in plain.items()}


def test_equal_numbers_are_compared_whatever_their_order():
    x = clouds(30, 4)
    kept = chosen(x, 7)
    assert len(kept) == 7 and torch.equal(kept, chosen(x[torch.randperm(30)], 7))
    assert judged(x, clouds(20, 4, seed=1), sets=7) == judged(x, clouds(20, 4, seed=1).flip(0), sets=7)
    assert len(set(kept[:, 0, 0].tolist())) == 7


def test_nearest_neighbours_by_hand():
    """On a line: a at 0 and 1, b at 1.5 and 9; a1's nearest is b1, and so on."""
    a, b = torch.tensor([0.0, 1.0]), torch.tensor([1.5, 9.0])
    within_a, across, within_b = ((x[:, None] - y).abs() for x, y in ((a, a), (a, b), (b, b)))
    # a0 -> a1 right, a1 -> b0 wrong, b0 -> a1 wrong, b1 -> b0 right
    assert nn_accuracy(within_a, across, within_b).item() == 0.5


@pytest.mark.parametrize("shape", [(4,), (1, 8, 8), (5, 9)])
def test_data_that_are_no_points_are_refused(shape):
    with pytest.raises(DiffkitError, match="sets of points in 2 or 3 coordinates, and a row of Clouds is of shape"):
        Chamfer(Clouds(torch.zeros(2, *shape)))
