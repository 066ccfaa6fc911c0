from math import nan
from pathlib import Path

from diffkit.run.folder import RunFolder
from diffkit.run.logging import Csv
from diffkit.run.records import Histogram, RunInfo


def logger(path: Path, step: int = 0) -> Csv:
    return Csv(RunInfo(RunFolder(path), "test", {}, step=step))


def lines(path: Path) -> list[str]:
    return (path / "metrics.csv").read_text().splitlines()


def test_a_line_for_each_step_and_a_column_for_each_figure(tmp_path: Path) -> None:
    csv = logger(tmp_path)
    csv.log_metrics({"loss": 1.0, "epoch": 0}, 10)
    csv.log_metrics({"loss": 0.5, "lr": nan}, 20)
    csv.record("level", Histogram([3.0, nan], [-2.0, 0.0, 2.0]), 20)
    csv.log_metrics({"loss": 0.25}, 30)
    assert lines(tmp_path) == ["step,loss,level/-1", "10,1.0,", "20,0.5,3.0", "30,0.25,"]


def test_figures_of_one_step_share_a_line(tmp_path: Path) -> None:
    csv = logger(tmp_path)
    csv.log_metrics({"a": 1.0, "b": 2.0}, 1)
    csv.log_metrics({"b": 3.0}, 2)
    csv.log_metrics({"a": 4.0}, 2)
    assert lines(tmp_path) == ["step,a,b", "1,1.0,2.0", "2,4.0,3.0"]


def test_a_resumed_run_writes_no_step_twice(tmp_path: Path) -> None:
    csv = logger(tmp_path)
    for step in (10, 20, 30):
        csv.log_metrics({"loss": step / 10}, step)
    csv = logger(tmp_path, step=20)
    csv.log_metrics({"loss": 9.0}, 30)
    assert lines(tmp_path) == ["step,loss", "10,1.0", "20,2.0", "30,9.0"]
