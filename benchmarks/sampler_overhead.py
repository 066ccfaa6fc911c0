"""The cost of the samplers' own arithmetic: every registered one beside k-diffusion's DPM++2M, in the same rounds.

    python benchmarks/sampler_overhead.py [--rounds 15] > benchmarks/results/sampler_overhead.md

A call of the model returns a ready tensor. CPU time of the process with one thread; all take turns in each round,
figures are medians over rounds, ratios those of the same round. A step has its share of what is worked out before the
first; a step of the loop has not. A stochastic sampler is set against drawing as much noise from the same source.
"""

import argparse
import os
import platform
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

from diffkit.compose.build import create
from diffkit.compose.registry import registry
from diffkit.core.noise import Noise
from diffkit.core.sampler import Sampler, drive
from diffkit.standard.grids import Karras
from diffkit.standard.schedules import Cosine

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from parity.peers import load

SHAPES = {(64, 1, 8, 8): (40.0, 51.0), (16, 3, 64, 64): (200.0, 204.0)}
"""The limit in microseconds a step, where k-diffusion's DPM++2M takes the second figure."""
NOISE_LIMIT = 1.3
STEPS = 50
PEER = "k-diffusion dpmpp_2m"


@dataclass
class Entry:
    """Something that is timed, and what it takes: `seconds` of each round, for all its steps."""

    states: Callable[[], Iterator[object]]
    steps: int = STEPS
    calls: int = STEPS
    draws: int = 0
    seconds: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    """Until the first state."""
    noise: list[float] = field(default_factory=list)
    """Of as many draws, in the same rounds."""

    @property
    def step(self) -> float:
        """Microseconds."""
        return median(self.seconds) / self.steps * 1e6

    @property
    def loop(self) -> float:
        """Microseconds of a step after the first; the peer's walk cannot be left after it."""
        rest = [whole - first for whole, first in zip(self.seconds, self.first, strict=True)]
        return median(rest) / (self.steps - 1) * 1e6

    def time(self, repeats: int) -> None:
        """One round."""
        self.seconds.append(seconds(lambda: deque(self.states(), maxlen=0), repeats))
        self.first.append(seconds(lambda: next(self.states()), repeats))


def walk(sampler: Sampler, x: Tensor, ready: Tensor) -> Entry:
    """A walk of the standard grid, with its steps, calls and draws counted once."""
    schedule, calls, draws = Cosine(), 0, 0
    source = Noise(0, range(len(x)))

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return ready

    def noise(x: Tensor) -> Tensor:
        nonlocal draws
        draws += 1
        return source(x)

    times = Karras(STEPS)(schedule)
    steps = sum(1 for _ in drive(sampler, denoise, schedule, x, times, noise))

    return Entry(lambda: drive(sampler, lambda x, t: ready, schedule, x, times, source), steps, calls, draws)


def peer(x: Tensor, ready: Tensor) -> Entry:
    """k-diffusion's sampler on the same levels."""
    (sampling,) = load("k_diffusion", "k_diffusion.sampling")
    alpha, sigma = Cosine()(Karras(STEPS)(Cosine()))
    levels = (sigma / alpha).to(x)

    def states() -> Iterator[object]:
        yield sampling.sample_dpmpp_2m(lambda x, level: ready, x, levels, disable=True)

    return Entry(states)


def seconds(run: Callable[[], object], repeats: int) -> float:
    """CPU time of one run."""
    start = time.process_time()
    for _ in range(repeats):
        run()
    return (time.process_time() - start) / repeats


def measure(shape: tuple[int, ...], rounds: int) -> dict[str, Entry]:
    """Every sampler and the peer, in turns."""
    g = torch.Generator().manual_seed(0)
    x, ready = torch.randn(shape, generator=g), 0.1 * torch.randn(shape, generator=g)
    entries = {PEER: peer(x, ready)}
    entries |= {name: walk(create("sampler", name), x, ready) for name in registry().names("sampler")}
    source = Noise(1, range(len(x)))
    repeats = 5 if x.numel() < 10_000 else 1
    for i in range(rounds + 1):
        for entry in entries.values():
            entry.time(repeats)
            if entry.draws:
                entry.noise.append(seconds(lambda: source(x), entry.draws * repeats) * entry.draws)
        if not i:  # the first round is not counted
            for entry in entries.values():
                entry.seconds, entry.first, entry.noise = [], [], []
    return entries


def table(shape: tuple[int, ...], entries: dict[str, Entry]) -> list[str]:
    """Rows of Markdown, and what is above the limits."""
    limit, at = SHAPES[shape]
    base, scaled = entries[PEER], limit * entries[PEER].step / at
    lines = [
        f"## {' x '.join(map(str, shape))}",
        "",
        f"Limit of a deterministic step: {limit:g} us where {PEER} takes {at:g}, so {scaled:.0f} us in this run.",
        "",
        f"| sampler | calls a step | us a step | us a call | us a step of the loop | to {PEER} | to its noise | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, entry in sorted(entries.items(), key=lambda item: item[1].step):
        ratio = median(a / b for a, b in zip(entry.seconds, base.seconds, strict=True))
        noise = median(a / b for a, b in zip(entry.seconds, entry.noise, strict=True)) if entry.draws else 0.0
        over = name != PEER and entry.step > scaled and not 0 < noise <= NOISE_LIMIT
        cells = [
            name,
            f"{entry.calls / entry.steps:.2g}",
            f"{entry.step:.1f}",
            f"{entry.step * entry.steps / entry.calls:.1f}",
            "" if name == PEER else f"{entry.loop:.1f}",
            f"{ratio:.2f}",
            f"{noise:.2f}" if noise else "",
            "above" if over else "",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    rounds: int = parser.parse_args().rounds
    torch.set_num_threads(1)
    made = ", ".join(f"{name} {version(name)}" for name in ("torch", "k-diffusion"))
    print(f"# The samplers' own arithmetic\n\n`python benchmarks/sampler_overhead.py --rounds {rounds}`: CPU time, one")
    print(f"thread, {STEPS} steps, median of {rounds} rounds. Python {platform.python_version()}, {made},")
    print(f"{os.cpu_count()} shared cores, load {os.getloadavg()[0]:.0f}. A model's call returns a ready tensor.")
    print(
        f"A stochastic sampler is to cost at most {NOISE_LIMIT:g} times the noise that it draws. A step has its share"
    )
    print("of what is worked out before the first; a step of the loop has not.\n")
    for shape in SHAPES:
        print("\n".join([*table(shape, measure(shape, rounds)), ""]), flush=True)


if __name__ == "__main__":
    main()
