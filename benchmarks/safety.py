"""What diffkit's safety costs: a training step with and without it, and a safe save beside a plain one.

    python benchmarks/safety.py

Training is `diffkit train` as it comes, on digits, with `metrics.csv` and W&B (offline). Steps go in pairs, one with
all that looks after the run and one without, in random order: looks for values that are not finite, signals. A ratio is
the median over pairs, in CPU seconds of the process, with one thread. What happens now and then is clocked where it
happens and shared out over the steps between: figures to `metrics.csv` and W&B every 50 steps (with W&B's thread), a
checkpoint every 500. What happens once a run (its lock, its status) is not in it, nor is W&B's own process.

A save is `Checkpoints.save_checkpoint`: digest, sync, moved into place. The plain one is `torch.save` of the same
content onto the same disk, as it comes and with a sync. They take turns; a ratio is the median over turns.

    python benchmarks/safety.py saves              the saves and loads alone
"""

import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch
from lightning import Callback

from diffkit import compose
from diffkit.run import train
from diffkit.run.callbacks import Saving, Stop
from diffkit.run.checkpoint import Checkpoints
from diffkit.run.finite import Finite
from diffkit.run.metrics_file import Csv
from diffkit.run.wandb import Wandb

WARM = 20
CASES = {
    "MLP, 0.8 M weights, batches of 256": (["denoiser=mlp", "data.batch_size=256"], 1100),
    "U-Net, 0.6 M weights, batches of 64": (["denoiser=unet"], 510),
}
EACH = ((Finite, "batch"), (Finite, "skips"), (Finite, "update"), (Stop, "on_train_batch_end"))
FIGURES = ((Csv, "log_metrics"), (Csv, "record"), (Wandb, "log_metrics"), (Wandb, "record"))


class Clock:
    """Switches the safety of a step on and off, and keeps what everything took."""

    def __init__(self) -> None:
        self.on = True
        self.spent = {"figures": 0.0, "checkpoints": 0.0}
        self.calls = {"figures": 0, "checkpoints": 0}

    def switched(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """The same, left out of a step without its safety."""
        return lambda *of, **named: original(*of, **named) if self.on else None

    def clocked(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        """The same, on the clock."""

        def call(*of: Any, **named: Any) -> Any:
            start = time.process_time()
            try:
                return original(*of, **named)
            finally:
                self.spent[name] += time.process_time() - start
                self.calls[name] += 1

        return call


class Turns(Callback):
    """Clocks the steps, and says for each pair which of the two has its safety."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.random = clock, Random(0)
        self.steps: list[tuple[bool, float]] = []
        self.since = 0.0

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Let the other have its turn, or draw who begins."""
        self.clock.on = self.random.random() < 0.5 if len(self.steps) % 2 == 0 else not self.clock.on
        self.spent = sum(self.clock.spent.values())
        self.since = time.process_time()

    def ended(self) -> None:
        """The step is over."""
        taken = time.process_time() - self.since - (sum(self.clock.spent.values()) - self.spent)
        self.steps.append((self.clock.on, taken))


class Ends(Callback):
    """Stops the clock, after every other callback."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """The step is over."""
        self.turns.ended()


def training(overrides: list[str], steps: int) -> tuple[float, float, float, float]:
    """CPU seconds of a step without safety; what safety adds to it, in parts: each step, figures, checkpoints."""
    clock = Clock()
    turns, kept, make = Turns(clock), {}, train._trainer
    for cls, name in EACH:
        kept[cls, name] = getattr(cls, name)
        setattr(cls, name, clock.switched(kept[cls, name]))
    for cls, name in (*FIGURES, (Saving, "_save")):
        kept[cls, name] = getattr(cls, name)
        setattr(cls, name, clock.clocked("checkpoints" if cls is Saving else "figures", kept[cls, name]))
    train._trainer = lambda choices, folder, ours: make(choices, folder, [*ours, turns, Ends(turns)])
    given = ["logger=[csv,wandb]", "logger.wandb.mode=offline", "metric=[]", "samples=0", "preview_every=0"]
    try:
        with TemporaryDirectory() as folder:
            out = [f"out={Path(folder) / 'run'}", f"trainer.max_steps={steps}"]
            train.train(compose([*overrides, *given, *out, "callbacks=[figures,saving]"]))
    finally:
        train._trainer = make
        for (cls, name), original in kept.items():
            setattr(cls, name, original)
    pairs = list(zip(turns.steps[WARM::2], turns.steps[WARM + 1 :: 2], strict=False))
    ratios = [max(pair)[1] / min(pair)[1] for pair in pairs]  # True is more than False
    bare = median(min(pair)[1] for pair in pairs)
    figures = clock.spent["figures"] / (steps // 50) / 50
    checkpoints = clock.spent["checkpoints"] / clock.calls["checkpoints"] / 500
    return bare, median(ratios) - 1, figures / bare, checkpoints / bare


def content(megabytes: int) -> dict[str, Any]:
    """A state of that size, in 64 tensors."""
    draw = torch.Generator().manual_seed(0)
    size = megabytes * 10**6 // 4 // 64
    return {"state_dict": {f"w{i}": torch.randn(size, generator=draw) for i in range(64)}, "global_step": 1}


def saving(megabytes: int, turns: int, folder: Path) -> list[tuple[float, ...]]:
    """Wall and CPU seconds of a plain, a synced and a safe save, of a plain and a safe load, for each turn."""
    state, safe, rows = content(megabytes), Checkpoints(), []
    plain, ours = folder / "plain.pt", folder / "ours.ckpt"

    def synced() -> None:
        with plain.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())

    calls = (
        lambda: torch.save(state, plain),
        synced,
        lambda: safe.save_checkpoint(state, ours),
        lambda: torch.load(plain, weights_only=True),
        lambda: safe.load_checkpoint(ours),
    )
    for _ in range(turns + 1):
        row = []
        for call in calls:
            wall, cpu = time.perf_counter(), time.process_time()
            call()
            row += [time.perf_counter() - wall, time.process_time() - cpu]
        rows.append(tuple(row))
    return rows[1:]


def main() -> None:
    """Print both tables, or the second."""
    torch.set_num_threads(1)
    if sys.argv[1:] != ["saves"]:
        trainings()
    saves()


def trainings() -> None:
    """Print what a training step costs."""
    print("| training | ms a step without | each step | figures | checkpoints | all |\n|---|---|---|---|---|---|")
    for name, (overrides, steps) in CASES.items():
        bare, *parts = training(overrides, steps)
        shares = " | ".join(f"{share:+.2%}" for share in (*parts, sum(parts)))
        print(f"| {name} | {1e3 * bare:.1f} | {shares} |", flush=True)


def saves() -> None:
    """Print what a save and a load cost."""
    print("\n| MB | | plain, s | safe, s | ratio | plain, CPU s | safe, CPU s | ratio |")
    print("|---|---|---|---|---|---|---|---|")
    folder = Path(".safety")
    folder.mkdir()
    try:
        for megabytes, turns in ((40, 21), (270, 9)):
            rows = saving(megabytes, turns, folder)
            for plain, safe, what in ((0, 2, "save"), (1, 2, "save, both synced"), (3, 4, "load")):
                cells = []
                for clock in (0, 1):
                    a, b = 2 * plain + clock, 2 * safe + clock
                    ratio = median(row[b] / row[a] for row in rows)
                    cells += [f"{median(r[a] for r in rows):.3f}", f"{median(r[b] for r in rows):.3f}", f"{ratio:.2f}"]
                print(f"| {megabytes} | {what} | {' | '.join(cells)} |", flush=True)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
