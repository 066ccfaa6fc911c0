"""Does the shipped model draw what a name means? For names that were trained on, and for names that were not.

`python benchmarks/retrieval.py [run]`, two minutes on one thread: one sample for each of 120 names of a split, and the
share of samples that are nearer (root mean square) to their own name's picture than to any other of the 120; and the
median over the samples of how many others are nearer.
"""

import sys
from typing import Literal

import torch

import diffkit
from diffkit_emoji.data import Emoji

NAMES = 120


def main(run: str) -> None:
    """Print a line for each split."""
    torch.set_num_threads(1)
    model, data = diffkit.load(run), Emoji(resolution=32)
    splits: tuple[Literal["train", "test"], ...] = ("train", "test")
    for split in splits:
        rows = data.reference(split)
        chosen = torch.randperm(len(rows["x"]), generator=torch.Generator().manual_seed(0))[:NAMES]
        real = data.spec.restore(rows["x"][chosen]).flatten(1)
        drawn = model.sample(text=[rows["text"][i] for i in chosen.tolist()]).x.flatten(1)
        distance = torch.cdist(drawn, real)
        nearer = (distance < distance.diagonal()[:, None]).sum(1)
        first, median = (nearer == 0).double().mean().item(), nearer.double().median().item()
        print(f"{split}: own picture nearest {first:.3f}, others nearer {median:.0f} (median) of {NAMES - 1}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "emoji")
