"""How often a run of task=clip finds the right caption for a noisy picture, and the right picture for a caption.

    python benchmarks/clip_retrieval.py RUN [CANDIDATES]

The rows that ask are the held-out ones. With CANDIDATES more than there are, training rows are candidates too, which
ask nothing. Beside each share stands what chance would find: of m candidates of which n are right,
1 - C(m - n, k) / C(m, k) among the first k.
"""

import sys
from collections import Counter
from math import comb

import torch

from diffkit.compose.build import part
from diffkit.run.bundle import load
from diffkit_clip.network import NoisyCLIP
from diffkit_clip.retrieval import AMONG, LEVELS, retrieval


def chance(texts: list[str], asked: int) -> dict[str, float]:
    """What chance finds, by the names of `retrieval`'s figures."""
    count, captions = Counter(texts), list(dict.fromkeys(texts[:asked]))
    found = {}
    for k in AMONG:
        found[f"text_r{k}"] = min(1.0, k / len(count))
        missed = [comb(len(texts) - count[text], k) / comb(len(texts), k) for text in captions]
        found[f"image_r{k}"] = 1 - sum(missed) / len(missed)
    return found


def main() -> None:
    """Print a table."""
    torch.set_num_threads(1)
    bundle = load(sys.argv[1])
    network = bundle.model
    assert isinstance(network, NoisyCLIP), "the run is none of task=clip"
    data = part("data", bundle.config["data"], seed=0)
    held, learned = (data.reference(split) for split in ("test", "train"))
    asked = len(held["x"])
    more = max(0, int((sys.argv[2:] or ["0"])[0]) - asked)
    texts = [*held["text"], *learned["text"][:more]]
    x_0 = network.codec.encode(torch.cat([held["x"], learned["x"][:more]]))
    by_chance = chance(texts, asked)
    print(f"{asked} held-out rows ask; candidates: {len(x_0)} pictures, {len(set(texts))} different captions")
    print("| log-SNR |" + "".join(f" {name} |" for name in by_chance) + "\n|---|" + "---|" * len(by_chance))
    print("| chance |" + "".join(f" {value:.4f} |" for value in by_chance.values()))
    for level in LEVELS:
        found = [retrieval(network, x_0, texts, level, asked, seed) for seed in range(3)]
        shares = [sum(each[name] for each in found) / len(found) for name in by_chance]
        print(f"| {level} |" + "".join(f" {share:.3f} |" for share in shares), flush=True)


if __name__ == "__main__":
    main()
