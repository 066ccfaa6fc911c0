"""The quality of the default experiment of each kind of data, beside that of real rows.

    python benchmarks/data_quality.py                          all of them
    python benchmarks/data_quality.py moons,iris seeds=0,1,2   some, with several seeds
    python benchmarks/data_quality.py rings out=/tmp/rings     and the runs are kept there

Each is trained by `diffkit train experiment=NAME` on one thread; CPU seconds are those of the whole command, start-up
and pictures included, without metrics. Then `diffkit evaluate` draws samples by the run's own sampler, under the
conditions of held-out rows, and judges them by the experiment's own metrics. Beside the samples' value is that of real
rows: as many rows of the training split in the samples' place, mean and deviation over 16 draws. Distributions in the
plane are judged by 4096 samples against 4096 points that were not trained on; others by as many samples as there are
held-out rows, 1000 at most. A figure that has a goal says whether it was reached.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from diffkit import compose
from diffkit.core.errors import DiffkitError


@dataclass(frozen=True)
class Goal:
    """What a figure of an experiment must not exceed: a value, or a multiple of what real rows get."""

    figure: str
    most: float
    of_real: bool = False

    def __str__(self) -> str:
        return f"at most {self.most:g}{' times real' if self.of_real else ''}"

    def reached(self, score: dict[str, float]) -> bool:
        """Whether the samples are as good."""
        return score["value"] <= self.most * (score["real"] if self.of_real else 1)


PLANE = ("moons", "spirals", "rings", "checkerboard", "swissroll", "gaussians")
PLANE_ROWS = 4096
GOALS = {
    **dict.fromkeys(PLANE, Goal("sliced_wasserstein", 1.5, of_real=True)),
    "shapes": Goal("chamfer/nn_accuracy", 0.65),
    "iris": Goal("two_sample", 0.6),
    "penguins": Goal("two_sample", 0.6),
    "molecules": None,
}


def main() -> None:
    given = dict(word.split("=", 1) for word in sys.argv[1:] if "=" in word)
    chosen = next((word.split(",") for word in sys.argv[1:] if "=" not in word), [n for n in GOALS if installed(n)])
    seeds = [int(seed) for seed in given.get("seeds", "0").split(",")]
    print(f"`python benchmarks/data_quality.py {' '.join(sys.argv[1:])}`\n")
    print("| experiment | seed | CPU s | figure | samples | real data | ratio | goal |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in chosen:
            for seed in seeds:
                for line in rows(name, seed, Path(given.get("out", folder)) / f"{name}-{seed}"):
                    print(line, flush=True)


def installed(name: str) -> bool:
    """Whether there is an experiment of that name: some come with plugins."""
    try:
        compose([f"experiment={name}"])
    except DiffkitError:
        return False
    return True


def rows(name: str, seed: int, run: Path) -> Iterator[str]:
    """Train, judge, and give a line for each figure."""
    metrics = ",".join(compose([f"experiment={name}"]).metric)
    seconds = command("train", f"experiment={name}", f"seed={seed}", f"out={run}", "metric=[]", "logger=[csv]")
    many = [f"n={PLANE_ROWS}"] if name in PLANE else []
    command("evaluate", f"run={run}", f"metric=[{metrics}]", *many, "batch_size=1024")
    goal = GOALS.get(name)
    for figure, score in json.loads((run / "evaluation.json").read_text())["scores"].items():
        real = f"{score['real']:.4f} ± {score['real_sd']:.4f}"
        ratio = f"{score['value'] / score['real']:.2f}" if score["real"] else ""
        said = ""
        if goal is not None and figure == goal.figure:
            said = f"{goal}: {'reached' if goal.reached(score) else 'missed'}"
        yield f"| {name} | {seed} | {seconds:.0f} | {figure} | {score['value']:.4f} | {real} | {ratio} | {said} |"


def command(*arguments: str) -> float:
    """The CPU seconds of a diffkit command; raises `DiffkitError` with what it said if it fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "diffkit.cli", *arguments], env=environment, capture_output=True, text=True
    )
    if done.returncode:
        raise DiffkitError(f"diffkit {' '.join(arguments)} failed: {done.stderr.strip()[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
