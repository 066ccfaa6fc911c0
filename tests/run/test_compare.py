"""Comparing: every combination is checked, scored alike, kept, and shown."""

import csv
import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import small
import torch
from PIL import Image

from diffkit import DiffkitError
from diffkit.cli import main
from diffkit.compose.points import points
from diffkit.core.guidance import Branches, Denoise, Guidance
from diffkit.run import compare as module
from diffkit.run.clock import measured
from diffkit.run.compare import compare
from diffkit.run.evaluate import asked_rows, evaluate
from diffkit.run.front import _spread, front
from diffkit.run.generate import Sampling
from diffkit.run.ledger import Ledger
from diffkit.run.saved import open_run

SAME = ("n=30", "metric=[sliced_wasserstein]", "metric.sliced_wasserstein.directions=4")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = small.run_folder(tmp_path / "run", "class", "moons")
    (folder / "config.yaml").write_bytes((folder / "bundle" / "config.yaml").read_bytes())
    return folder.relative_to(tmp_path)


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "compare.jsonl").read_text().splitlines()]


def cells(folder: Path) -> list[dict[str, str]]:
    with (folder / "compare.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_combination_in_the_order_of_the_lists(run: Path) -> None:
    words = [f"run={run}", "sampler=heun,ddim", "grid.steps=range(2,5,2)", "guidance.cfg.scale=1,3", *SAME]
    found = points("compare", words, ["sampler", "grid", "guidance"])
    assert [tuple(p.choice.values()) for p in found] == [
        (s, g, c) for s in ("heun", "ddim") for g in ("2", "4") for c in ("1", "3")
    ]
    for point in found:
        assert point.config is not None
        values = (point.config.sampler._part_, point.config.grid.steps, point.config.guidance.cfg.scale)
        assert values == (
            point.choice["sampler"],
            int(point.choice["grid.steps"]),
            float(point.choice["guidance.cfg.scale"]),
        )
        assert point.config.n == 30


def test_a_comparison(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [SAME[0], "metric=[sliced_wasserstein,nearest,column_wasserstein]", SAME[2]]
    assert compare([f"run={run}", "sampler=heun,ddim", "guidance.cfg.scale=1,3", *words]) == 0
    out = run / "compare"
    rows = cells(out)
    assert [(r["sampler"], r["guidance.cfg.scale"]) for r in rows] == [
        ("heun", "1"), ("heun", "3"), ("ddim", "1"), ("ddim", "3"),
    ]  # fmt: skip
    # three steps: Heun's last one is Euler's; guidance of scale 1 is off
    assert [(float(r["calls"]), float(r["rows"])) for r in rows] == [(5, 5), (5, 10), (3, 3), (3, 6)]
    assert all(float(r["seconds"]) > 0 for r in rows)
    nodes = {"sliced_wasserstein": {"_part_": "sliced_wasserstein", "directions": 4}}
    nodes |= {name: {"_part_": name} for name in ("nearest", "column_wasserstein")}
    guidance = {"cfg": {"_part_": "cfg", "scale": 3.0}}
    scores = evaluate(small.asked(run, n=30, batch_size=64, metric=nodes, guidance=guidance))
    assert list(scores) == ["sliced_wasserstein", "nearest", "column_wasserstein/x", "column_wasserstein/y"]
    for name, score in scores.items():
        assert {k: float(rows[3][f"{name}/{k}"]) for k in score} == pytest.approx(score)
    printed, table = capsys.readouterr().out, (out / "compare.md").read_text()
    value = f"{scores['sliced_wasserstein']['value']:.4f}"
    assert value in printed and "| ddim | 3 | 3 | 6 | " in table and value in table
    starred = [any("*" in line.split("|")[column] for line in table.splitlines()[4:8]) for column in (6, 7, 8, 9)]
    assert starred == [True, False, True, True]  # nearest is neither better high nor low
    with Image.open(out / "compare.png") as picture:
        assert picture.width > 800 and len(picture.convert("RGB").getcolors(1 << 24) or []) > 20


def test_it_goes_on_where_it_was(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [f"run={run}", "grid.steps=1,2", *SAME]
    compare(words)
    before = lines(run / "compare")
    assert len(before) == 2
    compare([*words[:1], "grid.steps=2,3,1", *SAME])
    after = lines(run / "compare")
    assert after[:2] == before and len(after) == 3
    assert "2 of 3 points are in" in capsys.readouterr().err
    assert [r["grid.steps"] for r in cells(run / "compare")] == ["2", "3", "1"]
    compare([words[0], "grid.steps=1", "seed=1", *SAME])
    compare([words[0], "grid.steps=1", "n=31", *SAME[1:]])
    keys = [line["key"] for line in lines(run / "compare")]
    assert len(keys) == len(set(keys)) == 5


def test_a_damaged_line_is_done_again(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [f"run={run}", "grid.steps=1,2", *SAME]
    compare(words)
    path = run / "compare" / "compare.jsonl"
    whole = path.read_bytes()
    first = whole.splitlines(keepends=True)[0]
    for rest in (b'{"key": "ab', whole[len(first) : -1], b'{"key": "abc", "scores": {}}\n', b"\xff\n", b"[]\n"):
        path.write_bytes(first + rest)
        assert len(Ledger(run / "compare").read()) == 1
        assert "line 2 of run/compare/compare.jsonl is damaged" in capsys.readouterr().err
        assert path.read_bytes() == first
    path.write_bytes(whole[:-9])
    compare(words)
    found = lines(run / "compare")
    assert len(found) == 2 and found[1]["scores"] == json.loads(whole[len(first) :])["scores"]


def test_points_that_fail_do_not_stop_the_others(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One is refused before, one fails by itself; the status is 3, and the next command tries again."""
    original = module.measured

    def failing(model: Any, spec: Any, sampling: Sampling, *rest: Any) -> Any:
        if type(sampling.sampler).__name__ == "Heun":
            raise ValueError("a dead end")
        return original(model, spec, sampling, *rest)

    words = ["compare", f"run={run}", "sampler=ddim,heun,dddim", *SAME]
    monkeypatch.setattr(sys, "argv", ["diffkit", *words])
    with monkeypatch.context() as patch:
        patch.setattr(module, "measured", failing)
        with pytest.raises(SystemExit) as stopped:
            main()
    assert stopped.value.code == 3
    rows = cells(run / "compare")
    assert [bool(r["calls"]) for r in rows] == [True, False, False]
    assert rows[1]["error"] == "ValueError: a dead end" and "There is no sampler 'dddim'" in rows[2]["error"]
    assert "a dead end" in (run / "compare" / "compare.md").read_text()
    assert "failed: ValueError: a dead end" in capsys.readouterr().err
    assert compare([f"run={run}", "sampler=ddim,heun", *SAME]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["metric=[frechett]"], "There is no metric 'frechett'"),
        (["metric=[]"], "there is no metric"),
        (["metric=frechet,nearest"], r"metric is the same for all points; several at once are metric=\[...\]"),
        (["seed=1,2"], "seed is the same for all points. Lists are for sampler, grid, guidance, ema"),
        (["sampler=dddim,dddpm"], "There is no sampler 'dddim'"),
        (["ema=0.05,0.1"], "run kept no snapshots"),
        (["ema=0.4,0.5"], "ema=0.4 is not allowed"),
        (["-m", "grid.steps=1,2"], "leave -m out"),
        (["n=1"], "at least 2 samples"),
        (["metric=[likelihood]"], "metric=likelihood measures a model and no samples"),
        (["grid.steps=1,2", "run=a,b"], "run"),
    ],
)
def test_mistakes_are_said_before_any_work(
    run: Path, words: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [] if any(word.startswith("run=") for word in words) else [f"run={run}"]
    monkeypatch.setattr(sys, "argv", ["diffkit", "compare", *given, *words])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    with pytest.raises(DiffkitError, match=message):
        compare([*given, *words])
    assert not (run / "compare").exists()


def test_one_point_of_a_bundle_alone_and_its_logger(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    (run / "bundle").rename(tmp_path / "alone")
    assert compare(["run=alone", f"out={tmp_path / 'one'}", "logger=[wandb]", *SAME]) == 0
    assert len(cells(tmp_path / "one")) == 1
    media = (tmp_path / "one").glob("wandb/offline-run-*/files/media/*/*")
    assert sorted(path.name.split("_")[0] for path in media) == ["compare", "quality"]
    with pytest.raises(DiffkitError, match="is a bundle alone"):
        compare(["run=alone", "ema=0.1", *SAME])


def test_flags_are_answered(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare([f"run={run}", "grid.steps=1,2", "--cfg", "job"]) == 0
    assert "steps: 1" in capsys.readouterr().out
    assert not (run / "compare").exists()


class Late(Guidance):
    """Asks for the second branch in the later half alone."""

    def __call__(self, denoise: Denoise, branches: Branches) -> Denoise:
        return lambda x, t, c: branches.both(x, t, c)[1] if t < 0.4 else denoise(x, t, c)


def test_rows_that_an_interval_saves_are_not_counted(run: Path) -> None:
    """Four steps from t = 1: the network is asked at 1, 3/4, 1/2 and 1/4, in batches of 8, 8 and 4."""
    saved = open_run(run)
    asked = asked_rows(saved.data(), 20, 0)
    sampling = saved.sampling()
    sampling = Sampling(sampling.sampler, type(sampling.grid)(steps=4), [Late()])
    drawn = measured(saved.model, saved.spec, sampling, asked, 0, 8)
    assert (drawn.calls, drawn.rows) == (4, 5)
    assert drawn.x.shape == (20, 2) and not saved.model.denoiser._forward_pre_hooks


def test_the_front_by_its_definition() -> None:
    stream = torch.Generator().manual_seed(0)
    known = [(float(c), float(v)) for c, v in torch.randint(1, 12, (60, 2), generator=stream)]
    for higher, sign in ((True, -1), (False, 1)):
        found = front([*known, (1.0, float("nan"))], higher)
        for i, (cost, value) in enumerate(known):
            others = [(c, sign * v) for c, v in known]
            beaten = any(c <= cost and v <= sign * value and (c, v) != (cost, sign * value) for c, v in others)
            assert ((cost, value) in [known[j] for j in found]) == (not beaten), i
        assert [known[j] for j in found] == sorted(known[j] for j in found)
    assert front(known, None) == []


def test_labels_stand_apart_in_order() -> None:
    wanted = [0.5, 0.5, 0.1, 0.99, 0.98, 0.5]
    places = _spread(wanted, 0.1)
    ordered = sorted(places)
    assert min(b - a for a, b in pairwise(ordered)) > 0.1 - 1e-9
    assert sorted(range(6), key=lambda i: (wanted[i], places[i])) == sorted(range(6), key=lambda i: places[i])
    assert places[2] == 0.1 and max(places) <= 1
