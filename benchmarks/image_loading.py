"""Pictures from disk beside a bare loop of the decoder: pictures a CPU second, and a second.

    python benchmarks/image_loading.py [--rounds 12] > benchmarks/results/image_loading.md

Colour JPEGs of 256 to 512 pixels, quality 90, come out as 3 x 64 x 64. The loop opens a file with Pillow, lets its
decoder scale as it can (`draft`), takes the square in the middle to size, and makes an array of it: the least that
anybody must do. `image_folder` gives batches, standardised, as a training run takes them: an epoch of the same files;
`webdataset` those files from eight tar shards. They take turns; CPU time is the process's and its workers', and the
best round counts: what else a machine does adds.
"""

import argparse
import os
import platform
import resource
import tarfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import version
from itertools import islice, product
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import numpy as np
import torch
from PIL import Image

from diffkit.core.data import batches
from diffkit.core.types import Batch
from diffkit.standard.data import LoadedData, loaded
from diffkit.standard.data.digits import Digits
from diffkit.standard.data.image_folder import ImageFolder
from diffkit.standard.data.webdataset import WebDataset

RESOLUTION, STEPS, SHARDS, GOAL = 64, 6, 8, 0.95
"""Steps are those of an epoch."""
LOOP = "a bare loop of the decoder"
EPOCHS = (2, 10)
"""With workers the longer run is set against the shorter: what their start and end cost is in both."""


def make(folder: Path, pictures: int) -> None:
    """Smooth colours with some noise, which compress as photographs do."""
    for i in range(pictures):
        random = np.random.default_rng(i)
        width, height = random.integers(256, 513, 2).tolist()
        coarse = Image.fromarray(random.integers(0, 256, (12, 12, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), dtype=float)
        noisy = smooth + random.normal(0, 6, smooth.shape)
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / f"{i:05}.jpg", quality=90)


def bare(files: list[str]) -> None:
    """The least that must be done with the files."""
    for file in files:
        with Image.open(file) as picture:
            picture.draft("RGB", (2 * RESOLUTION, 2 * RESOLUTION))
            width, height = picture.size
            side = min(width, height)
            box = ((width - side) / 2, (height - side) / 2, (width + side) / 2, (height + side) / 2)
            np.asarray(picture.resize((RESOLUTION, RESOLUTION), Image.Resampling.LANCZOS, box))


def pack(folder: Path, files: list[str]) -> Callable[..., LoadedData]:
    """The files as shards, and one of them to test on; gives what makes data of these."""
    for number in range(SHARDS):
        with tarfile.open(folder / f"{number}.tar", "w") as tar:
            for file in files[number::SHARDS]:
                tar.add(file, Path(file).name)
    return partial(WebDataset, str(folder), str(folder / "0.tar"), RESOLUTION)


def stream(make: Callable[..., LoadedData], batch_size: int, workers: int, steps: int) -> None:
    """So many batches of a training run; it ends, so that nothing is read ahead that nobody takes."""
    data = make(batch_size=batch_size, workers=workers)
    with patch.object(loaded, "batches", lambda *given: islice(batches(*given), steps)):
        assert len(list(data.train_dataloader())) == steps


def take(batches: Iterator[Batch]) -> None:
    """An epoch."""
    deque(islice(batches, STEPS), 0)


def cpu() -> float:
    """Seconds of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def timed(function: Callable[[], object]) -> tuple[float, float]:
    """CPU seconds, and seconds."""
    before, start = cpu(), time.perf_counter()
    function()
    return cpu() - before, time.perf_counter() - start


def memory_step() -> tuple[float, int]:
    """Microseconds that data in memory take for a batch of 64 digits, and the largest piece of memory it needs."""
    data = Digits()
    batches = iter(data.train_dataloader())
    next(batches)
    start = time.process_time()
    for _ in islice(batches, 500):
        pass
    seconds = time.process_time() - start
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        next(batches)
    return seconds / 500 * 1e6, max(event.self_cpu_memory_usage for event in profile.events())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--pictures", type=int, default=320, help="of which the training split has nine tenths")
    given = parser.parse_args()
    torch.set_num_threads(1)
    with TemporaryDirectory() as place:
        folder = Path(place)
        make(folder, given.pictures)
        data = ImageFolder(str(folder), RESOLUTION, batch_size=given.pictures * 9 // 10 // STEPS, workers=0)
        count = data.batch_size * STEPS
        files = [str(folder / os.fsdecode(name)) for name in data.tree.files["train"]][:count]
        os.environ["DIFFKIT_CACHE"] = place
        made: dict[str, Callable[..., LoadedData]] = {
            "image_folder": partial(ImageFolder, str(folder), RESOLUTION),
            "webdataset": pack(folder, files),
        }
        runs: dict[str, Callable[[], object]] = {LOOP: lambda: bare(files)}
        for name, part in made.items():
            taken = iter(part(batch_size=data.batch_size, workers=0).train_dataloader())
            runs[f"{name}, workers=0"] = partial(take, taken)
        rounds = [{name: timed(run) for name, run in runs.items()} for _ in range(given.rounds)]
        best = {name: [count / min(done[name][i] for done in rounds) for i in (0, 1)] for name in runs}
        for (name, part), workers in product(made.items(), (1, 2)):
            few, many = (timed(partial(stream, part, data.batch_size, workers, n * STEPS)) for n in EPOCHS)
            more = (EPOCHS[1] - EPOCHS[0]) * count
            best[f"{name}, workers={workers}"] = [more / (b - a) for a, b in zip(few, many, strict=True)]
    report(best, given)


def report(best: dict[str, list[float]], given: argparse.Namespace) -> None:
    print("# Pictures from disk\n")
    print(f"`python benchmarks/image_loading.py --rounds {given.rounds}`: {given.pictures} JPEGs of 256 to 512 pixels,")
    print(f"to 3 x {RESOLUTION} x {RESOLUTION}. Python {platform.python_version()}, torch {version('torch')},")
    load = f"{os.cpu_count()} shared cores, load {os.getloadavg()[0]:.0f}"
    print(f"pillow {version('pillow')}, {load}: CPU seconds compare,")
    print("seconds only roughly. With workers it is what a longer run takes more than a shorter.\n")
    print("| | pictures a CPU second | to the bare loop | pictures a second | to the bare loop |")
    print("|---|---|---|---|---|")
    for name, (rate, speed) in best.items():
        ratios = [rate / best[LOOP][0], speed / best[LOOP][1]]
        print(f"| {name} | {rate:.0f} | {ratios[0]:.2f} | {speed:.0f} | {ratios[1]:.2f} |")
    print(f"\nThe goal is {GOAL} of the bare loop a CPU second.\n")
    micro, most = memory_step()
    print("Data in memory copy nothing but the rows of the batch: one of 64 digits is 16,384 bytes of pictures, takes")
    print(f"{micro:.0f} us of CPU time, and the largest piece of memory asked for meanwhile is {most:,} bytes.")


if __name__ == "__main__":
    main()
