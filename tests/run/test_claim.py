"""A run's folder: who has it, and what `resume=auto` makes of what it finds there."""

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import filelock
import pytest
from run.conftest import Run

from diffkit import DiffkitError
from diffkit.run import status
from diffkit.run.checkpoint import newest
from diffkit.run.lock import LOCK, locked
from diffkit.run.status import Status


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_what_a_run_says_of_itself(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert status.read(run("out=a", "trainer.max_steps=2")) == Status("finished", 0, 2)
    with pytest.raises(DiffkitError) as error:
        run("resume=a", "trainer.max_steps=3", "trainer.limit_val_batches=-7")
    assert error.value.status == 2 and status.read(Path("a")) == Status("finished", 0, 2), "it never began"


def test_auto_begins_continues_and_ends(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    command = ("out=a", "resume=auto", "trainer.max_steps=2")
    Path("a").mkdir()
    run(*command)
    last = Path("a/checkpoints/last.ckpt")
    before = last.stat().st_mtime_ns
    assert "has finished: 2 updates" not in capsys.readouterr().out
    run(*command)
    assert "has finished: 2 updates" in capsys.readouterr().out and last.stat().st_mtime_ns == before
    Path("a/bundle/model.safetensors").unlink()  # as a kill leaves it
    run(*command)
    assert Path("a/bundle/model.safetensors").exists() and last.stat().st_mtime_ns == before
    run(*command[:2], "trainer.max_steps=3")
    assert newest(Path("a/checkpoints")).step == 3
    with pytest.raises(DiffkitError, match=r"a has made 3 updates, more than trainer\.max_steps=2"):
        run(*command)
    with pytest.raises(DiffkitError, match=r"not empty.*add resume=auto"):
        run("out=a")
    with pytest.raises(DiffkitError, match=r"resume=a goes on in its own folder: leave out=b out"):
        run("resume=a", "out=b")


def test_auto_begins_anew_what_was_killed_before_its_first_checkpoint(run: Run) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        dead = process.pid
    run("out=a", "trainer.max_steps=1")
    for file in Path("a/checkpoints").iterdir():
        file.unlink()
    Path("a/.metrics.csv-123").touch()
    run("out=a", "resume=auto", "trainer.max_steps=2", "seed=1")  # another run: nothing of the first is left
    assert newest(Path("a/checkpoints")).step == 2 and not Path("a/.metrics.csv-123").exists()
    Path("b").mkdir()
    with locked(Path("b")):
        words = Path("b", LOCK).read_text().replace(str(os.getpid()), str(dead))
    Path("b", LOCK).write_text(words)
    Path("b/wandb").mkdir()
    run("out=b", "resume=auto", "trainer.max_steps=1")
    assert not Path("b/wandb").exists() and not Path("b", LOCK).exists()


def test_other_folders_are_refused(run: Run) -> None:
    Path("full").mkdir()
    Path("full/file").touch()
    for more in ((), ("resume=auto",)):
        with pytest.raises(DiffkitError, match=r"out=full is not empty: choose another folder, for it holds no run"):
            run("out=full", *more)
        with pytest.raises(DiffkitError, match="is a file"):
            run("out=full/file", *more)
    assert [path.name for path in Path("full").iterdir()] == ["file"]
    with pytest.raises(DiffkitError, match="needs out="):
        run("resume=auto")


def test_a_folder_that_is_in_use_is_refused() -> None:
    held = locked(Path("a"))
    with locked(Path("a")), pytest.raises(DiffkitError, match=f"a is in use by process {os.getpid()} on"):
        held.__enter__()
    Path("a", LOCK).write_text("12\nfar-away\n")
    with pytest.raises(DiffkitError, match=r"process 12 on far-away.*, remove a/\.lock"), locked(Path("a")):
        pass


@pytest.mark.parametrize("left", ["", "12", "12\nfar-aw"])
def test_a_lock_whose_process_was_killed_while_it_wrote_it_is_taken_over(
    left: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filelock._soft, "MALFORMED_LOCK_AGE_THRESHOLD", 0.05)
    Path("a").mkdir()
    Path("a", LOCK).write_text(left)
    with locked(Path("a")):
        assert Path("a", LOCK).read_text().startswith(f"{os.getpid()}\n")


def test_who_slept_while_it_wrote_its_lock_does_not_hold_one_that_was_taken_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(filelock._soft, "MALFORMED_LOCK_AGE_THRESHOLD", 0.05)
    write = filelock.SoftFileLock._write_lock_info

    def sleeps(file: int) -> None:
        monkeypatch.setattr(filelock.SoftFileLock, "_write_lock_info", staticmethod(write))
        stack.enter_context(locked(Path("a")))  # another one, meanwhile
        monkeypatch.setattr(filelock._soft, "owner_is_current_process", lambda *of: False)
        write(file)

    monkeypatch.setattr(filelock.SoftFileLock, "_write_lock_info", staticmethod(sleeps))
    with ExitStack() as stack:
        with pytest.raises(DiffkitError, match="is in use by process"), locked(Path("a")):
            pass
        assert Path("a", LOCK).exists()
