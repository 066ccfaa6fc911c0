import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Callback, LightningModule, Trainer

from diffkit import DiffkitError
from diffkit.run import train as module
from diffkit.run.checkpoint import Checkpoints, newest
from diffkit.run.train import Stopped

from .conftest import Run


def state(folder: Path) -> dict[str, Any]:
    return Checkpoints().load_checkpoint(newest(folder / "checkpoints").path)


def differing(a: Any, b: Any, where: str = "") -> list[str]:
    """The places in which two states differ by as much as a bit."""
    if isinstance(a, torch.Tensor):
        return [] if isinstance(b, torch.Tensor) and torch.equal(a, b) else [where]
    if isinstance(a, dict) and isinstance(b, dict):
        return [w for k in a.keys() | b.keys() for w in differing(a.get(k), b.get(k), f"{where}.{k}")]
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)) and len(a) == len(b):
        return [w for i, (c, d) in enumerate(zip(a, b, strict=True)) for w in differing(c, d, f"{where}[{i}]")]
    return [] if a == b else [where]


def steps(folder: Path) -> list[int]:
    """The steps in `metrics.csv`, in its order."""
    return [int(line.partition(",")[0]) for line in (folder / "metrics.csv").read_text().splitlines()[1:]]


class Kill(Callback):
    """Send this process a signal in the middle of an update."""

    def __init__(self, step: int, number: int) -> None:
        self.step, self.number = step, number

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
        if trainer.global_step == self.step:
            os.kill(os.getpid(), self.number)


def stop_at(monkeypatch: pytest.MonkeyPatch, step: int, number: int = signal.SIGTERM) -> None:
    original = module._trainer

    def trainer(choices: Any, folder: Any, ours: Any) -> Trainer:
        return original(choices, folder, [*ours, Kill(step, number)])

    monkeypatch.setattr(module, "_trainer", trainer)


def test_a_stop_at_any_step_changes_no_bit(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = state(run("out=whole"))
    with monkeypatch.context() as patch:
        for step in (0, 3, 6):  # the first one before any checkpoint was due, the second one when one was
            stop_at(patch, step)
            with pytest.raises(Stopped, match="SIGTERM") as stopped:
                run("out=parts") if step == 0 else run("resume=parts")
            assert stopped.value.status == 128 + signal.SIGTERM
            assert newest(Path("parts/checkpoints")).step == step + 1
            patch.undo()
            patch.chdir(Path("parts").resolve().parent)
    parts = state(run("resume=parts"))
    keys = ("state_dict", "optimizer_states", "diffkit", "global_step")
    assert differing({k: whole[k] for k in keys}, {k: parts[k] for k in keys}) == []
    assert len(whole["state_dict"]) > 10 and whole["optimizer_states"][0]["state"]
    assert steps(Path("whole")) == steps(Path("parts")) == [2, 4, 6, 8]


def test_other_stops_are_noticed(run: Run) -> None:
    """The comparison above can fail: a run of another seed differs in every tensor that learns."""
    a, b = state(run("out=a", "trainer.max_steps=2")), state(run("out=b", "trainer.max_steps=2", "seed=1"))
    assert len(differing(a["state_dict"], b["state_dict"])) > 10


def test_resuming_with_accumulated_gradients_and_validation(run: Run) -> None:
    more = ("trainer.accumulate_grad_batches=2", "trainer.val_check_interval=4", "trainer.precision=32-true")
    whole = state(run("out=whole", *more, "task.decay=constant"))
    run("out=parts", *more, "task.decay=constant", "trainer.max_steps=3")
    parts = state(run("resume=parts", "trainer.max_steps=8"))
    assert parts["diffkit"] == {"format": 1, "batches": 16, "updates": 8}
    assert differing(whole["state_dict"], parts["state_dict"]) == []


def test_the_newest_whole_checkpoint_is_taken(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    whole = state(run("out=a"))
    last = Path("a/checkpoints/last.ckpt")
    last.write_bytes(last.read_bytes()[:-1])
    assert newest(Path("a/checkpoints")).path.name == "previous.ckpt"
    assert differing(whole["state_dict"], state(run("resume=a"))["state_dict"]) == []
    assert "last.ckpt is damaged" in capsys.readouterr().out


def test_what_cannot_be_resumed(run: Run) -> None:
    run("out=a", "trainer.max_steps=2")
    config = Path("a/config.yaml").read_text()
    Path("a/config.yaml").write_text("".join(line for line in config.splitlines(True)[1:] if "seed" not in line))
    with pytest.raises(DiffkitError, match=r"a/config.yaml is not as a run wrote it: it lacks seed"):
        run("resume=a")
    Path("a/config.yaml").write_text(config)
    shutil.rmtree("a/checkpoints")
    with pytest.raises(DiffkitError, match="none was written"):
        run("resume=a")
    with pytest.raises(DiffkitError, match="does not exist"):
        run("resume=nowhere")
    with pytest.raises(DiffkitError, match="allow_change is for a run that is continued"):
        run("out=b", "allow_change=[seed]")
