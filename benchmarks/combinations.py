"""Combinations of the registered parts on tiny networks: each trains two steps and samples, or is refused.

  python benchmarks/combinations.py [models]        (2000 models: about ten minutes of one core)

The product of all kinds is too large to be tried in full: choices of data, codec, conditioner, denoiser, prediction,
schedule, density and weighting are drawn at random, and each model is sampled from with WAYS choices of sampler, grid
and guidance. (The tests try a covering array, in which every pair of parts occurs.) Anything but finite samples or one
sentence stops it. Writes benchmarks/results/combinations.md.
"""

import math
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random

import torch

from diffkit.core.errors import DiffkitError
from diffkit.testing.combinations import SAMPLING, TRAINING, choices, sample, train

RESULT = Path(__file__).parent / "results" / "combinations.md"
WAYS = 8


def main() -> None:
    torch.set_num_threads(1)
    models = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    start, random = time.monotonic(), Random(0)
    training, sampling = choices(*TRAINING), choices(*SAMPLING)
    trained, sampled, refused = 0, 0, Counter[str]()
    for i in range(models):
        try:
            model = train({kind: random.choice(names) for kind, names in training.items()})
        except DiffkitError as error:
            refused[str(error)] += 1
            continue
        trained += 1
        for _ in range(WAYS):
            sample(model, {kind: random.choice(names) for kind, names in sampling.items()})
            sampled += 1
        if i % 100 == 99:
            print(f"{i + 1} of {models} models tried, {sampled} combinations sampled", flush=True)
    write(training | sampling, trained, sampled, refused, time.monotonic() - start)


def write(kinds: dict[str, list[str]], trained: int, sampled: int, refused: Counter[str], seconds: float) -> None:
    lines = [
        "# Combinations of parts",
        "",
        f"`python benchmarks/combinations.py {trained + refused.total()}`, {seconds / 60:.0f} minutes on one core of a "
        "shared machine.",
        "",
        f"**{trained} models, drawn at random from {math.prod(map(len, kinds.values())):,} combinations, trained two "
        f"steps and sampled in {sampled} ways; {refused.total()} were refused with one sentence, none failed in "
        "another way.**",
        "",
        "| kind | parts |",
        "|---|---|",
        *(f"| {kind} | {', '.join(names)} |" for kind, names in kinds.items()),
        "",
        "| refused | the sentence |",
        "|---|---|",
        *(f"| {count} | {sentence} |" for sentence, count in refused.most_common()),
    ]
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
