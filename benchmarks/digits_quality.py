"""The quality of sampled digits against the CPU seconds of training.

    python benchmarks/digits_quality.py 125,250,500,1000,3000
    python benchmarks/digits_quality.py 140,275,550 experiment=digits_mlp

Each number is a training run of that many steps (the learning rate falls to 0 within it), by diffkit's own task, data
and step; its CPU seconds, on one thread, are counted from the first step to the last. Then 540 samples are drawn by the
run's own sampler under the captions of the 540 held-out pictures, three times with other noise, and judged: agreement
of a support vector classifier with the digit asked for, Frechet distance in the features of a small network, sliced
Wasserstein distance of pixels, and the nearest-neighbour ratio (below 1: closer to the training pictures than held-out
ones are). Judges have only seen training pictures; real training pictures in the samples' place stand in the last row.
"""

import sys
import time
from statistics import mean

import torch
from lightning import Callback

from diffkit import compose
from diffkit.compose.build import Parts, build
from diffkit.compose.foreign import instantiate
from diffkit.core.noise import key
from diffkit.run.evaluate import Scores, evaluate_model
from diffkit.run.generate import Sampling
from diffkit.run.precision import resolve
from diffkit.run.quiet import quiet

DRAWS = 3


class Clock(Callback):
    """CPU seconds of this process between the first step and the last."""

    def on_train_start(self, trainer, module) -> None:
        """Begin to count."""
        self.begun = time.process_time()

    def on_train_end(self, trainer, module) -> None:
        """Stop counting."""
        self.seconds = time.process_time() - self.begun


def train(overrides: list[str], steps: int) -> tuple[Parts, float]:
    """The parts after `steps` steps, and the CPU seconds that these took."""
    cfg = compose([*overrides, f"trainer.max_steps={steps}", "trainer.accelerator=cpu"])
    cfg.trainer.precision = resolve(cfg.trainer)
    torch.manual_seed(key("init", cfg.seed))
    parts, clock = build(cfg), Clock()
    options = {"logger": False, "enable_checkpointing": False, "limit_val_batches": 0, "callbacks": [clock]}
    trainer = instantiate("trainer", cfg.trainer, **options)
    trainer.fit(parts.task, datamodule=parts.data)
    return parts, clock.seconds


def judge(parts: Parts) -> list[Scores]:
    sampling = Sampling(parts.sampler, parts.grid, tuple(parts.guidance))
    task = parts.task
    return [evaluate_model(task.ema, parts.data, sampling, parts.metrics, seed=seed) for seed in range(DRAWS)]


def main() -> None:
    torch.set_num_threads(1)
    budgets, overrides = [int(n) for n in sys.argv[1].split(",")], sys.argv[2:]
    scores: list[Scores] = []
    print(f"`python benchmarks/digits_quality.py {' '.join(sys.argv[1:])}`\n")
    for steps in budgets:
        with quiet():
            parts, seconds = train(overrides, steps)
            scores = judge(parts)
        names = list(scores[0])
        if steps == budgets[0]:
            print(f"| steps | CPU s | images/CPU s | {' | '.join(names)} |\n|{'---|' * (3 + len(names))}")
        values = [f"{mean(s[name]['value'] for s in scores):.4f}" for name in names]
        speed = steps * parts.data.batch_size / seconds
        print(f"| {steps} | {seconds:.1f} | {speed:,.0f} | {' | '.join(values)} |", flush=True)
    real = [f"{scores[0][name]['real']:.4f} ± {scores[0][name]['real_sd']:.4f}" for name in scores[0]]
    print(f"| real | | | {' | '.join(real)} |")


if __name__ == "__main__":
    main()
