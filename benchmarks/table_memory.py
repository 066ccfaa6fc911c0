"""What data=table keeps in memory, and what its batches cost: 100 000 to 3 000 000 rows of CSV.

    python benchmarks/table_memory.py

Each size has a process of its own, on one thread, which converts the file (8 columns of numbers, one of classes, 3 % of
the numbers missing), then trains a small MLP for 300 steps of 256 rows. Anonymous memory is what a process must have:
pages of files that are mapped can be dropped at any time. It is read every 5 ms; growth is from what the process had
after a table of 1000 rows. A batch of the table is then held against one of the same rows as tensors in memory, in
turns, in CPU seconds of the process.
"""

import json
import os
import subprocess
import sys
import threading
import time
from itertools import islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

SIZES = (100_000, 1_000_000, 3_000_000)
STEPS, BATCH, COLUMNS = 300, 256, 8


def write_table(path: Path, rows: int) -> None:
    import numpy as np

    stream = np.random.default_rng(0)
    with path.open("w") as file:
        file.write(",".join(f"column {i} (mm)" for i in range(COLUMNS)) + ",kind\n")
        for start in range(0, rows, 10_000):
            x = stream.normal(size=(min(10_000, rows - start), COLUMNS)) * 10 + 100
            gone = stream.random(x.shape) < 0.03
            for row, away, kind in zip(x, gone, stream.integers(0, 5, len(x)), strict=True):
                entries = ["" if a else f"{v:.4f}" for v, a in zip(row, away, strict=True)]
                file.write(",".join(entries) + f",kind {kind}\n")


def anonymous() -> float:
    """MiB of memory that are this process's own."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("RssAnon"))) / 1024


class Peak(threading.Thread):
    """The greatest amount of memory until it is asked for."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most, self.done = anonymous(), threading.Event()

    def run(self) -> None:
        """Look every 5 ms."""
        while not self.done.wait(0.005):
            self.most = max(self.most, anonymous())

    def stop(self) -> float:
        """What was the greatest."""
        self.done.set()
        self.join()
        return max(self.most, anonymous())


def measure(file: str, warm: str) -> dict[str, float]:
    import pyarrow.csv  # noqa: F401
    import torch

    torch.set_num_threads(1)
    from diffkit.compose.build import build_model, create
    from diffkit.core.noise import generator
    from diffkit.standard.weightings import Unit

    choices: dict[str, Any] = {
        "codec": {"_part_": "identity"},
        "conditioner": {"class": {"_part_": "class"}},
        "denoiser": {"_part_": "mlp", "width": 128, "depth": 2},
        "prediction": {"_part_": "v"},
        "schedule": {"_part_": "cosine"},
    }
    create("data", "table", file=warm, label="kind", seed=0)  # everything is imported
    before, peak, start = anonymous(), Peak(), time.process_time()
    peak.start()
    data = create("data", "table", file=file, label="kind", batch_size=BATCH, seed=0)
    converted, seconds = peak.stop(), time.process_time() - start
    model = build_model(choices, data.spec)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    peak, begun = Peak(), anonymous()
    peak.start()
    for step, batch in enumerate(islice(data.train_dataloader(), STEPS)):
        stream = generator("bench", step)
        t = torch.rand(BATCH, generator=stream, dtype=torch.float64)
        loss, _ = model.loss(batch, t, torch.randn(batch["x"].shape, generator=stream), Unit())
        loss.mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    trained = peak.stop()
    return {
        "convert_growth": converted - before,
        "convert_seconds": seconds,
        "train_growth": trained - begun,
        "peak": max(converted, trained),
        **batches(data),
    }


def batches(data: Any) -> dict[str, float]:
    """CPU milliseconds for a batch of the table, and for the same rows of tensors in memory."""
    from diffkit.core.data import order, rows_of

    columns = {name: column.clone() for name, column in data.read("train").items()}
    mapped = iter(data.train_dataloader())
    memory = (rows_of(columns, index) for index in order(0, len(columns["x"]), BATCH))
    spent: dict[str, list[float]] = {"mapped_ms": [], "memory_ms": []}
    for _ in range(200):
        for name, stream in (("mapped_ms", mapped), ("memory_ms", memory)):
            start = time.process_time()
            next(stream)
            spent[name].append(1000 * (time.process_time() - start))
    return {name: median(values[1:]) for name, values in spent.items()}


def main() -> None:
    print("| rows | CSV, MB | conversion, CPU s | its memory, MiB | training's, MiB | greatest in all, MiB |", end=" ")
    print("batch, ms | of tensors, ms |\n|---:|---:|---:|---:|---:|---:|---:|---:|")
    with TemporaryDirectory() as folder:
        warm = Path(folder) / "warm.csv"
        write_table(warm, 1000)
        for rows in SIZES:
            file = Path(folder) / f"{rows}.csv"
            write_table(file, rows)
            environment = {**os.environ, "DIFFKIT_CACHE": folder, "OMP_NUM_THREADS": "1"}
            command = [sys.executable, __file__, str(file), str(warm)]
            done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
            m = json.loads(done.stdout.splitlines()[-1])
            print(f"| {rows:,} | {file.stat().st_size / 1e6:.0f} | {m['convert_seconds']:.2f} |", end=" ")
            print(f"{m['convert_growth']:.0f} | {m['train_growth']:.0f} | {m['peak']:.0f} |", end=" ")
            print(f"{m['mapped_ms']:.3f} | {m['memory_ms']:.3f} |", flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measure(*sys.argv[1:])))
    else:
        main()
