"""Iris and penguins: what they say of themselves is true, and what they draw says what it shows."""

import sys
from importlib.metadata import PackageNotFoundError
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.text import Text
from sklearn.datasets import load_iris

from diffkit.core.data import DataSpec
from diffkit.core.errors import DiffkitError
from diffkit.standard.data import penguins
from diffkit.standard.data.corner import Corner, corner_grid
from diffkit.standard.data.iris import Iris
from diffkit.standard.data.penguins import Penguins


@pytest.mark.parametrize(
    ("data", "rows", "held_out"), [(Iris(), 150, 50), (Penguins(), 342, 114)], ids=["iris", "penguins"]
)
def test_standardised_by_the_training_split_and_a_third_of_each_species_is_held_out(
    data: Any, rows: int, held_out: int
) -> None:
    train, test = data.reference("train"), data.reference("test")
    assert (len(train["x"]) + len(test["x"]), len(test["x"])) == (rows, held_out)
    assert torch.allclose(train["x"].double().mean(0), torch.zeros(4).double(), atol=1e-6)
    assert torch.allclose(train["x"].double().std(0, correction=0), torch.ones(4).double(), atol=1e-6)
    counts = [torch.bincount(split["label"]) for split in (train, test)]
    assert ((counts[1] - held_out / rows * (counts[0] + counts[1])).abs() < 1).all()


def test_iris_are_those_of_scikit_learn_in_its_columns_and_units() -> None:
    data, iris = Iris(), load_iris()
    splits = [data.spec.own(data.reference(split)) for split in ("train", "test")]
    rows = sorted((*x, label) for s in splits for x, label in zip(s["x"].tolist(), s["label"].tolist(), strict=True))
    truth = sorted((*x, label) for x, label in zip(iris.data.tolist(), iris.target.tolist(), strict=True))
    np.testing.assert_allclose(rows, truth, atol=1e-5)
    assert [
        f"{name} ({unit})" for name, unit in zip(data.spec.names, data.spec.units, strict=True)
    ] == iris.feature_names
    assert list(data.spec.class_names) == list(iris.target_names)


def test_penguins_are_read_without_pandas_and_in_their_units(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "pandas", None)  # importing it fails
        assert len(penguins._measured()[1]) == 342
    data = Penguins()
    x = torch.cat([data.spec.own(data.reference(split))["x"] for split in ("train", "test")])
    assert data.spec.units == ("mm", "mm", "mm", "g")
    # the published extremes of bills, flippers (mm) and mass (g)
    assert torch.allclose(x.amin(0), torch.tensor([32.1, 13.1, 172.0, 2700.0]), atol=1e-3)
    assert torch.allclose(x.amax(0), torch.tensor([59.6, 21.5, 231.0, 6300.0]), atol=1e-3)


def test_a_number_that_was_not_measured_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    values, species = penguins._measured()
    values[::5, 1] = np.nan
    monkeypatch.setattr(penguins, "_measured", lambda: (values, species))
    rows = Penguins().reference("train")
    assert rows["known"].shape == rows["x"].shape and rows["known"][:, [0, 2, 3]].all()
    assert 0.7 < rows["known"][:, 1].double().mean() < 0.9 and not rows["x"][~rows["known"]].any()


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(penguins, "distribution", missing)
    with pytest.raises(DiffkitError, match="pip install palmerpenguins"):
        Penguins().reference("train")


SPEC = DataSpec((3,), unit=("mm", "g", ""), names=("bill_length", "mass", "ratio"))


def texts(spec: DataSpec, behind: Any, large: bool) -> list[str]:
    figure = Corner(spec, behind, large).figure(behind)
    return [" ".join(text.get_text().split()) for text in figure.findobj(Text)]


@pytest.mark.parametrize("large", [True, False])
def test_axes_say_name_and_unit(large: bool) -> None:
    said = texts(SPEC, np.random.default_rng(0).normal(size=(50, 3)) * [1, 100, 0.01], large)
    # below each column, and beside each line but that of the first histogram
    assert [said.count(label) for label in ("bill length (mm)", "mass (g)", "ratio")] == [1, 2, 2]
    assert ("0" in said) == large and {"data", "samples"} <= set(said)


def test_of_many_columns_it_shows_the_first_and_says_so() -> None:
    spec = DataSpec((9,), names=tuple("abcdefghi"))
    said = texts(spec, np.random.default_rng(0).normal(size=(9, 9)), large=True)
    assert "f" in said and "g" not in said and "6 of 9 columns" in said


def test_points_and_histograms_lie_where_they_are() -> None:
    """Samples in the lower left of the data's range are drawn in the lower left of the panel."""
    behind = torch.tensor([[0.0, 0.0], [1.0, 1.0]]).repeat(50, 1)
    spec = DataSpec((2,), unit="cm", names=("a", "b"))
    pictures = [
        np.asarray(corner_grid(torch.full((1, 1, 40, 2), at), [], behind, spec), dtype=int) for at in (0.2, 0.8)
    ]
    places = []
    for picture in pictures:
        blue = (picture[..., 2] - picture[..., 0]) > 60
        panel = blue[picture.shape[0] // 2 : -30, 45:145]  # the one of both columns: below, left
        places.append([indices.mean() for indices in panel.nonzero()])
    assert places[0][0] > places[1][0] + 30 and places[0][1] < places[1][1] - 30


def test_what_is_not_known_or_beyond_the_axes_is_left_out() -> None:
    behind = torch.randn(60, 2, generator=torch.Generator().manual_seed(0))
    behind[::3, 0] = torch.nan
    spec = DataSpec((2,), unit="cm", names=("a", "b"))
    unknown, far, there = (
        np.asarray(corner_grid(torch.full((1, 1, 4, 2), x), [], behind, spec)) for x in (torch.nan, 1e9, 0.0)
    )
    assert (unknown == far).all() and (unknown != there).any()
