"""What has a name is called by it: classes in requests and captions, columns and their units in files and on resume."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small
import torch

import diffkit
from diffkit.compose.build import part
from diffkit.core.data import DataSpec
from diffkit.core.errors import DiffkitError
from diffkit.run import closing, resume
from diffkit.run.captions import caption
from diffkit.run.checkpoint import Found
from diffkit.run.folder import RunFolder
from diffkit.run.given import given_rows
from diffkit.run.request import request
from diffkit.run.rows import checked_rows, read_rows
from diffkit.run.sample import sample
from diffkit.standard.guidance.cfg import Cfg

IRIS = part("data", {"_part_": "iris"}, seed=0)
SPEC: DataSpec = IRIS.spec
ROW = [5.1, 3.5, 1.4, 0.2]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small.run_folder(tmp_path_factory.mktemp("runs") / "iris", "class", "iris")


def test_classes_are_asked_for_by_name(run: Path) -> None:
    pipe = diffkit.load(run)
    by_name = pipe.sample(label=["setosa", None, "virginica", 1], steps=1, negative="versicolor")
    by_number = pipe.sample(label=[0, None, 2, 1], steps=1, negative=1)
    assert by_name.columns["label"].tolist() == [0, -1, 2, 1] and torch.equal(by_name.x, by_number.x)
    assert pipe.sample(3, label="virginica", steps=1).columns["label"].tolist() == [2, 2, 2]
    with pytest.raises(DiffkitError, match=r"label=setossa is not a class of the data: did you mean 'setosa'"):
        pipe.sample(label="setossa")
    with pytest.raises(DiffkitError, match=r"negative=rose is not a class of the data: choose one of: setosa, vers"):
        pipe.sample(label=0, negative="rose")
    x = torch.tensor([ROW, ROW], dtype=torch.float64)
    named = pipe.log_likelihood(x, label=["setosa", "virginica"]).nats
    assert torch.equal(named, pipe.log_likelihood(x, label=[0, 2]).nats) and named[0] != named[1]


def test_where_a_model_reads_texts_a_word_is_one() -> None:
    """A class's name is a negative label only where it cannot be a negative text."""
    spec = DataSpec((1, 8, 8), {"label": 10, "text": None}, class_names=tuple("abcdefghij"))
    model = small.model(small.choices("both"))
    rows = request(model, spec, {"label": "c", "prompt": "x", "negative": "a"}, [Cfg()])
    assert rows.columns["label"].tolist() == [2] and rows.negative == {"text": ["a"]}


def test_captions_have_the_names_of_classes() -> None:
    columns = {"label": torch.tensor([0, -1, 2]), "text": ["a", "b", None]}
    assert caption(columns, 3, SPEC.class_names) == ["a, setosa", "b", "virginica"]
    ends = {"label": torch.tensor([0]), "label_to": torch.tensor([1]), "share": torch.tensor([0.5])}
    assert caption(ends, 1, SPEC.class_names) == ["setosa → versicolor"]
    assert caption({"label": torch.tensor([1])}, 1) == ["label 1"]


def test_samples_say_what_their_columns_are(run: Path, tmp_path: Path) -> None:
    out = sample(small.asked(run, out=str(tmp_path / "out"), n=2, label="setosa"))
    with np.load(out / "samples.npz") as file:
        assert file["names"].tolist() == list(SPEC.names) and file["units"].tolist() == ["cm"] * 4
        assert file["x"].shape == (2, 4)
    rows = read_rows(out / "samples.npz", SPEC)
    assert rows["x"].shape == (2, 4)
    other = DataSpec((4,), unit="mm", names=SPEC.names)
    with pytest.raises(
        DiffkitError, match="the unit of the column sepal length is cm, and that of the data is mm: convert it"
    ):
        read_rows(out / "samples.npz", other)


def test_a_table_of_samples_has_columns_with_units() -> None:
    table = closing._table(IRIS, torch.tensor([ROW]), ["setosa"], {})
    assert table.columns[2:] == [f"{name} (cm)" for name in SPEC.names]
    assert table.rows[0][:2] == [0, "setosa"] and table.rows[0][2:] == pytest.approx(ROW)


def file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text(text)
    return path


HEADERS = ["petal width (cm)", "sepal length", "label", "petal length [cm]", "sepal width_cm"]


def test_columns_of_a_file_are_matched_by_name(tmp_path: Path) -> None:
    rows = read_rows(file(tmp_path, ",".join(HEADERS) + "\n0.2,5.1,setosa,1.4,3.5\n0.2,5.1,2,1.4,3.5\n"), SPEC)
    assert rows["x"].tolist() == [ROW, ROW] and rows["label"].tolist() == [0, 2]
    x = given_rows(file(tmp_path, ",".join(HEADERS) + "\n0.2,NA,,1.4,3.5\n"), SPEC)
    assert x[0].isnan().tolist() == [True, False, False, False]
    assert read_rows(file(tmp_path, "5.1,3.5,1.4,0.2\n"), SPEC)["x"].tolist() == [ROW]


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (
            "petal width (mm),sepal length,petal length,sepal width",
            "petal width is mm, and that of the data is cm: convert it",
        ),
        ("petal width,sepal length,petal length", "has no column sepal width; the data have sepal length"),
        ("petal width,sepal length,petal length,sepal width,x", "has a column that is none of the data's: x"),
        ("petal width,petal width,sepal length,petal length,sepal width", "more than one column petal width"),
    ],
)
def test_other_columns_and_other_units_are_refused(tmp_path: Path, header: str, message: str) -> None:
    path = file(tmp_path, f"{header}\n" + ",".join(["1"] * len(header.split(","))) + "\n")
    for read in (lambda: read_rows(path, SPEC), lambda: given_rows(path, SPEC)):
        with pytest.raises(DiffkitError, match=message):
            read()


def test_an_unknown_class_in_a_column_is_refused() -> None:
    with pytest.raises(DiffkitError, match="or names: setosa, versicolor, virginica"):
        checked_rows([ROW], {"label": ["rose"]}, SPEC, "x")


def test_the_bundle_keeps_names_and_units(run: Path) -> None:
    spec = diffkit.load(run).spec
    assert spec == SPEC and spec.units == ("cm",) * 4 and spec.mean == SPEC.mean and spec.scale == SPEC.scale


@pytest.mark.parametrize(
    ("key", "value"), [("unit", "mm"), ("names", list("abcd")), ("scale", [1.0] * 4), ("class_names", list("abc"))]
)
def test_a_run_does_not_go_on_with_other_columns_or_units(key: str, value: Any) -> None:
    """Its rows, standardised, may be the same to the last bit."""
    spec, data = SPEC.to_dict(), {"rows": 1, "sha256": "0"}

    def point(saved: dict[str, Any]) -> resume.Point:
        found = Found(Path("1.ckpt"), 1, ())
        return resume.Point(RunFolder(Path("runs/a")), found, {"diffkit": {"spec": saved, "data": data}})

    resume.refuse_other_data(point(spec), {"spec": spec, "data": data})
    with pytest.raises(DiffkitError, match=f"not what the run runs/a was trained on: {key} was"):
        resume.refuse_other_data(point(spec), {"spec": {**spec, key: value}, "data": data})
    # what an older version did not say of its data is as it is by default
    resume.refuse_other_data(point({"shape": [4]}), {"spec": DataSpec((4,)).to_dict(), "data": data})
