"""Tables in files: exact moments and rows, whatever the pieces; a cache that mends itself; faults by their line."""

import shutil
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from pyarrow import parquet

from diffkit.core.errors import DiffkitError
from diffkit.standard.data.table import Table
from diffkit.standard.data.tables import convert, source
from diffkit.standard.data.tables.moments import Moments
from diffkit.testing import check_data

ROWS = 500


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DIFFKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tables"


def written(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def numbers() -> np.ndarray[Any, Any]:
    """Two columns, of which some numbers are missing; the first row has none at all."""
    x = np.random.default_rng(0).normal(size=(ROWS, 2)) * [1, 300] + [50, 5]
    x[::7, 1] = np.nan
    x[0] = np.nan
    return x


def measured(path: Path) -> Path:
    """Numbers, two columns of categories and captions in a CSV."""
    lines = ["length (mm),mass [kg],kind,sex,note"]
    for i, row in enumerate(numbers().tolist()):
        entries = ["NA" if v != v else repr(v) for v in row]
        lines.append(",".join([*entries, "ab"[i % 2], ["f", "m", ""][i % 3], f'"row {i}, é"' if i % 5 else ""]))
    return written(path, "\n".join(lines))


def everything(data: Table) -> dict[str, Any]:
    """All rows of both splits, those of training first."""
    splits = [data.spec.own(data.reference(split)) for split in ("train", "test")]
    x = torch.cat([s["x"] for s in splits])
    rest = {n: [v for s in splits for v in (s[n].tolist() if n == "label" else s[n])] for n in data.spec.conditions}
    return {"x": x, **rest, "rows": [len(s["x"]) for s in splits]}


def test_columns_units_classes_and_captions_are_those_of_the_file(tmp_path: Path) -> None:
    data = Table(str(measured(tmp_path / "t.csv")), label=["kind", "sex"], text="note", hold_out=4)
    assert (data.spec.names, data.spec.units) == (("length", "mass"), ("mm", "kg"))
    assert data.spec.class_names == ("a, f", "a, m", "b, f", "b, m")
    rows, x = everything(data), numbers()
    assert sum(rows["rows"]) == ROWS - 1 and abs(rows["rows"][1] - ROWS / 4) <= 5
    found = {}
    for value, label, text in zip(rows["x"], rows["label"], rows["text"], strict=True):
        i = int(np.nanargmin(np.abs(x[:, 0] - value[0].item())))
        np.testing.assert_allclose(value, x[i], rtol=1e-4, atol=1e-3)
        assert text == (f"row {i}, é" if i % 5 else None)
        assert label == (-1 if i % 3 == 2 else data.spec.class_names.index("ab"[i % 2] + ", " + "fm"[i % 3]))
        found[i] = found.get(i, 0) + 1
    assert set(found.values()) == {1} and len(found) == ROWS - 1


@pytest.mark.parametrize("piece", [64, 1000, 1 << 20])
def test_streamed_moments_are_exact_and_pieces_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    file = measured(tmp_path / "t.csv")
    keys: dict[str, Any] = {"columns": ["length", "mass"], "label": "kind"}
    whole = Table(str(file), **keys)
    shutil.rmtree(tmp_path / "cache")
    monkeypatch.setattr(source, "PIECE", piece)
    monkeypatch.setattr(convert, "BLOCK", 13)
    data = Table(str(file), **keys)
    for split in ("train", "test"):
        a, b = whole.reference(split), data.reference(split)
        assert all(torch.equal(a[name], b[name]) for name in a)
    standard = data.read("train")
    x = standard["x"].double().numpy().copy()
    x[~standard["known"].numpy()] = np.nan
    np.testing.assert_allclose(np.nanmean(x, 0), 0, atol=1e-6)
    np.testing.assert_allclose(np.nanstd(x, 0), 1, atol=1e-6)


def test_moments_of_parts_are_those_of_the_whole() -> None:
    x = numbers() * 1e-4 + 1e6  # a sum of squares would have no digit left
    parts = sum((Moments.of(part) for part in np.array_split(x, 23)), Moments.of(np.empty((0, 2))))
    np.testing.assert_allclose(parts.mean, np.nanmean(x, 0), rtol=1e-14)
    np.testing.assert_allclose(parts.deviation, np.nanstd(x, 0), rtol=1e-5)


def test_parquet_is_read_as_csv_is(tmp_path: Path) -> None:
    x = numbers()
    table = {
        "length (mm)": x[:, 0],
        "mass [kg]": pa.array(x[:, 1], from_pandas=True),
        "kind": pa.array(["ab"[i % 2] for i in range(ROWS)]).dictionary_encode(),
        "list": [[1]] * ROWS,
    }
    parquet.write_table(pa.table(table), tmp_path / "t.parquet")
    a = Table(str(tmp_path / "t.parquet"), label="kind")
    b = Table(str(measured(tmp_path / "t.csv")), label="kind")
    assert a.spec == b.spec
    assert all(torch.equal(a.read("test")[name], b.read("test")[name]) for name in ("x", "known", "label"))


def test_it_keeps_the_contracts_of_data(tmp_path: Path) -> None:
    file = str(measured(tmp_path / "t.csv"))
    check_data(lambda seed: Table(file, label=["kind", "sex"], text="note", seed=seed))


def test_rows_are_mapped_and_gathered_by_batch(tmp_path: Path) -> None:
    """Batches are the only rows that are copied: the numbers themselves stay in the file."""
    data = Table(str(measured(tmp_path / "t.csv")), label="kind", text="note")
    x = data.read("train")["x"]
    before = next(iter(data.train_dataloader()))["x"].clone()
    path = data._kept.folder / "train.x"
    with path.open("r+b") as file:
        file.write(np.full(x.numel(), 7, np.float32).tobytes())
    assert bool((x == 7).all()), "the tensor is a copy, not the file"
    assert bool((next(iter(data.train_dataloader()))["x"] == 7).all()) and not bool((before == 7).any())


def test_a_resumed_stream_is_the_rest_of_the_whole(tmp_path: Path) -> None:
    file = str(measured(tmp_path / "t.csv"))
    whole = list(islice(Table(file, label="kind", text="note", batch_size=150, seed=3).train_dataloader(), 7))
    rest = Table(file, label="kind", text="note", batch_size=150, seed=3)
    rest.start = 4
    for a, b in zip(islice(rest.train_dataloader(), 3), whole[4:], strict=True):
        assert a["text"] == b["text"] and all(torch.equal(a[name], b[name]) for name in ("x", "known", "label"))


def test_the_cache_is_used_mended_and_left_when_the_file_changes(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = measured(tmp_path / "t.csv")
    first = Table(str(file)).read("train")["x"].clone()
    (folder,) = cache.iterdir()
    with monkeypatch.context() as patch:
        patch.setattr(source.Csv, "pieces", lambda self: pytest.fail("the file is read again"))
        assert torch.equal(Table(str(file)).read("train")["x"], first)
    for damage in (
        lambda: (folder / "train.x").write_bytes(b"x" * (folder / "train.x").stat().st_size),
        lambda: (folder / "test.known").unlink(),
        lambda: (folder / "table.json").write_text("{"),
        lambda: (folder / "table.json").write_text('{"files": 3}'),
    ):
        damage()
        assert torch.equal(Table(str(file)).read("train")["x"], first)
    assert list(cache.iterdir()) == [folder]
    file.write_text(file.read_text() + "\n50,5,a,f,\n")
    assert len(everything(Table(str(file)))["x"]) == ROWS
    assert len(list(cache.iterdir())) == 2


GOOD = "a (mm),b,c\n" + "".join(f"{i},{i % 7}.5,k\n" for i in range(20))


@pytest.mark.parametrize(
    ("text", "keys", "message"),
    [
        (GOOD + "7,seven,k\n", {}, "line 22: the column b has 'seven', not a finite number"),
        (GOOD + "\n\n7,inf,k\n", {}, "line 24: the column b has 'inf'"),
        (GOOD + '7,1,"two\nlines"\n8,1e999,k\n', {}, "line 24: the column b has '1e999'"),
        (GOOD.replace(".5", ""), {"columns": ["c"]}, "line 2: the column c has 'k'"),
        ("a,b\n" + "".join(f"{i},3.5\n" for i in range(9)), {}, "the column b is 3.5 in all rows"),
        ("a,b\n" + "".join(f"{i},\n" for i in range(9)), {"columns": ["a", "b"]}, "the column b has no numbers"),
        ("", {}, "t.csv is empty"),
        ("\n\n", {}, "t.csv has blank lines alone"),
        ("a,b\n", {}, "t.csv has no rows"),
        ("a,b\n1,2\n3,4\n", {}, "has 2 rows with numbers, which are too few"),
        ("a,b\nx,y\n", {}, "has no column of numbers"),
        ("a (mm),a (cm)\n1,2\n", {}, "more than one column called a"),
        (",b\n1,2\n", {}, "column 1 has no name"),
        ("1,2\n3,4\n", {}, "its first line has numbers"),
        ("a,b\n1,2\n3,é\n".encode("latin-1"), {}, "line 3, is not UTF-8"),
        (GOOD.encode("utf-16"), {}, "line 1, is not UTF-8"),
        ("a;b\n1;2\n", {}, "choose data.delimiter=semicolon"),
        ("a,b\n1,2\n\n3\n", {}, "line 4, has entries for 1 columns, and the first line names 2"),
        (GOOD, {"columns": ["aa"]}, "has no column aa; did you mean 'a'"),
        (GOOD, {"units": {"a": "cm"}}, "the column a is in mm, and data.units says cm"),
        (GOOD, {"columns": ["a"], "label": "a"}, "a is asked for as a number and as a condition"),
        ("a,b\n" + "".join(f"{i},k{i}\n" for i in range(1001)), {"label": "b"}, "b has more than 1000 different"),
    ],
)
def test_what_is_no_table_is_refused_with_its_place(
    tmp_path: Path, cache: Path, text: str | bytes, keys: dict[str, Any], message: str
) -> None:
    with pytest.raises(DiffkitError, match=message) as found:
        Table(str(written(tmp_path / "t.csv", text)), **keys)
    assert "t.csv" in str(found.value) and "\n" not in str(found.value)
    assert not cache.exists() or not list(cache.iterdir())


def test_files_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DiffkitError, match="there is no such file"):
        Table(str(tmp_path / "none.csv"))
    with pytest.raises(DiffkitError, match=r"read from .csv .* and .parquet"):
        Table(str(written(tmp_path / "t.xls", "a")))
    with pytest.raises(DiffkitError, match=r"t.parquet cannot be read"):
        Table(str(written(tmp_path / "t.parquet", "PAR1 and no more")))
    monkeypatch.setenv("DIFFKIT_CACHE", str(tmp_path / "t.xls"))
    with pytest.raises(DiffkitError, match="set DIFFKIT_CACHE"):
        Table(str(written(tmp_path / "t.csv", GOOD)))


def test_a_byte_order_mark_and_other_delimiters_are_read(tmp_path: Path) -> None:
    marked = Table(str(written(tmp_path / "a.csv", b"\xef\xbb\xbf" + GOOD.encode())))
    other = Table(str(written(tmp_path / "b.tsv", GOOD.replace(",", "\t"))), delimiter="tab")
    assert marked.spec == other.spec and marked.spec.units == ("mm", "")
