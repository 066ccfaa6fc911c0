"""Every combination of the registered parts on tiny networks: it trains two steps and samples, or is refused.

  python benchmarks/combinations.py        (about ten minutes of one core; writes benchmarks/results/combinations.md)

A model is trained for each choice of data, codec, conditioner, denoiser, prediction, schedule, density and weighting,
and sampled from with each choice of sampler, grid and guidance. Anything but finite samples or one sentence stops it.
"""

import time
from collections import Counter
from itertools import product
from pathlib import Path

import torch

from diffkit.core.errors import DiffkitError
from diffkit.testing.combinations import SAMPLING, TRAINING, choices, sample, train

RESULT = Path(__file__).parent / "results" / "combinations.md"


def main() -> None:
    torch.set_num_threads(1)
    start = time.monotonic()
    training, sampling = choices(*TRAINING), choices(*SAMPLING)
    ways = [dict(zip(sampling, names, strict=True)) for names in product(*sampling.values())]
    trained, sampled, refused = 0, 0, Counter[str]()
    for names in product(*training.values()):
        choice = dict(zip(training, names, strict=True))
        try:
            model = train(choice)
        except DiffkitError as error:
            refused[str(error)] += len(ways)
            continue
        trained += 1
        for way in ways:
            sample(model, way)
            sampled += 1
        if trained % 100 == 0:
            print(f"{trained} models trained, {sampled} combinations sampled, {refused.total()} refused", flush=True)
    write(training | sampling, trained, sampled, refused, time.monotonic() - start)


def write(kinds: dict[str, list[str]], trained: int, sampled: int, refused: Counter[str], seconds: float) -> None:
    lines = [
        "# Combinations of parts",
        "",
        f"`python benchmarks/combinations.py`, {seconds / 60:.0f} minutes on one core of a shared machine.",
        "",
        f"**{sampled + refused.total()} combinations: {sampled} trained two steps and sampled ({trained} models), "
        f"{refused.total()} refused with one sentence, none failed in another way.**",
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
