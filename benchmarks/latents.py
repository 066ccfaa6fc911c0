"""What a step of training costs: on latents that are encoded once, on latents encoded in each step, and on pixels.

    OMP_NUM_THREADS=1 python benchmarks/latents.py > benchmarks/results/latents.md

Emoji of 32 x 32, and the autoencoder of the experiment `emoji_vae` without training, whose weights cost the same. The
loops take turns step by step, and CPU seconds of the process are counted, since the machine may do other work.
"""

from collections.abc import Callable, Iterator
from statistics import median
from time import process_time
from typing import Any

import torch

import diffkit
from diffkit.compose.build import build
from diffkit.core.codec import LATENT

STEPS, WARM, ROWS = 24, 4, 32
CODEC = ["codec=vae", "codec.factor=4", "codec.channels=8", "codec.width=16"]
LOOPS = {
    "latents, encoded once": (CODEC, True),
    "latents, encoded in each step": (CODEC, False),
    "pixels": ([], False),
}


def prepared(codec: list[str], kept: bool) -> tuple[Any, float]:
    """The parts of a run with the network of the experiment `emoji_latent`, and CPU seconds of encoding all rows."""
    told = ["data=emoji", "data.resolution=32", f"data.batch_size={ROWS}", "conditioner=[]", "guidance=[]", "metric=[]"]
    parts: Any = build(diffkit.compose([*told, "denoiser.width=64", *codec]))
    begin = process_time()
    if kept:
        with torch.no_grad():
            parts.data.keep(LATENT, parts.model.codec.encode, "")
    return parts, process_time() - begin


def steps(parts: Any) -> Iterator[float]:
    """CPU seconds of one step after the other."""
    optimizer = torch.optim.AdamW(p for p in parts.model.parameters() if p.requires_grad)
    for batch in parts.data.train_dataloader():
        begin = process_time()
        eps, t = torch.randn(ROWS, *parts.task.shape), torch.rand(ROWS, dtype=torch.float64)
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            loss = parts.task.losses(parts.model, batch, t, eps, None)[0].mean()
        torch.autograd.backward(loss)
        optimizer.step()
        yield process_time() - begin


def main() -> None:
    """Measure, and print a page."""
    made = {name: prepared(*asked) for name, asked in LOOPS.items()}
    turns: dict[str, Callable[[], float]] = {name: steps(parts).__next__ for name, (parts, _) in made.items()}
    spent: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(STEPS):
        for name, turn in turns.items():
            spent[name].append(turn())
    rows = len(made["pixels"][0].data.reference("train")["x"])
    print("# Latents that are encoded once\n\n`python benchmarks/latents.py`: a U-Net of one size, in batches of")
    print(f"{ROWS} emoji of 32 x 32, latents of 8 x 8 x 8, bf16 autocast, one thread; median of {STEPS - WARM} steps.")
    print("\n| a step on | CPU ms | beforehand, CPU s |\n|---|---|---|")
    for name, (_, ahead) in made.items():
        print(f"| {name} | {1e3 * median(spent[name][WARM:]):.0f} | {f'{ahead:.1f}' if ahead > 0.1 else '-'} |")
    print(f"\nBeforehand: {rows:,} training rows and the held-out ones are encoded.")


if __name__ == "__main__":
    main()
