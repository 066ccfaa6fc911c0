import os
from math import nan
from pathlib import Path

import pytest

from diffkit import DiffkitError
from diffkit.run.folder import RunFolder
from diffkit.run.logging import Csv, build_loggers
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


def test_more_figures_of_the_step_it_went_on_from_join_its_line(tmp_path: Path) -> None:
    logger(tmp_path).log_metrics({"loss": 1.0}, 10)
    logger(tmp_path, step=10).log_metrics({"val_loss": 2.0}, 10)
    assert lines(tmp_path) == ["step,loss,val_loss", "10,1.0,2.0"]


def test_a_line_that_was_cut_is_taken_away(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "metrics.csv").write_text("step,a,b\n10,1.0,2.0\n20,3.0,4.", newline="\r\n")
    logger(tmp_path, step=30).log_metrics({"a": 5.0}, 30)
    assert lines(tmp_path) == ["step,a,b", "10,1.0,2.0", "30,5.0,"]
    assert not capsys.readouterr().err


def test_damaged_lines_are_left_out_and_the_file_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damaged = b"step,a\n10,1.0\n\0\0\0\n20,\xff\n30\n40,4.0\n"
    (tmp_path / "metrics.csv").write_bytes(damaged)
    logger(tmp_path, step=50)
    assert lines(tmp_path) == ["step,a", "10,1.0", "40,4.0"]
    assert (tmp_path / "metrics-damaged.csv").read_bytes() == damaged
    assert "3 lines" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"\xff\xfe\n1,2\n", b'"' * 1000, b"a,a\n1,2\n"])
def test_whatever_the_file_holds_a_run_goes_on(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "metrics.csv").write_bytes(content)
    logger(tmp_path, step=10).log_metrics({"a": 1.0}, 20)
    assert lines(tmp_path) == ["step,a", "20,1.0"]


def test_lines_that_cannot_be_written_are_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    csv, real = logger(tmp_path), Path.open
    csv.log_metrics({"a": 1.0}, 10)

    def full(*arguments: object, **more: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(Path, "open", full)
    for step in (20, 30):
        csv.log_metrics({"a": 2.0}, step)
    assert capsys.readouterr().err.count("No space left") == 1
    monkeypatch.setattr(Path, "open", real)
    csv.close(0)
    assert lines(tmp_path) == ["step,a", "10,1.0", "20,2.0", "30,2.0"]


def test_a_logger_of_lightnings_that_refuses_is_named(tmp_path: Path) -> None:
    nodes = {"other": {"_target_": "lightning.pytorch.loggers.CSVLogger", "nosuch": 1}}
    with pytest.raises(DiffkitError, match=r"logger\.other .*CSVLogger\) could not be built: .*'nosuch'"):
        build_loggers(nodes, RunInfo(RunFolder(tmp_path), "test", {}))
