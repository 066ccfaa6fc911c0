"""What installed plugins cost: start-up with 100 of them, of which one is used, against that with one.

    python benchmarks/plugins.py [--rounds 15] [--out benchmarks/results/plugins.md]

The plugins are wheels that pip installs into a folder: each has a README of 8 kB in its metadata, an entry module, and
a part in a module of its own, all with bytecode. Each command runs in a fresh process, with one plugin and with 100 in
turns; what counts is its CPU time (user and system), and the ratio within each pair.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from packages import Package, install

PART = """
from dataclasses import dataclass
from diffkit.standard.grids import Uniform

@dataclass(frozen=True)
class Grid(Uniform):
    '''The grid of a plugin.'''
"""
ENTRY = """
import diffkit

@diffkit.hookimpl
def diffkit_components():
    return [diffkit.Component("grid", "grid_{0}", "plugin_{0}.grid:Grid")]
"""
USED = ("grid=grid_0", "data=moons", "denoiser=mlp", "conditioner=[class]")
COMMANDS = {
    "diffkit --help": ["--help"],
    "diffkit list": ["list"],
    "diffkit plugins": ["plugins"],
    "diffkit check": ["check", *USED],
}
MANY = 100


def plugin(number: int) -> Package:
    return Package(
        f"plugin-{number}",
        ENTRY.format(number),
        files={"grid.py": PART},
        readme=f"# Plugin {number}\n\n" + "A line of a README, as long as such lines are.\n" * 170,
    )


def seconds(argv: Sequence[str], site: Path) -> float:
    """CPU time of a command with the plugins of a folder."""
    environment = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    before = getrusage(RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-m", "diffkit.cli", *argv], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    after = getrusage(RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(rounds: int, sites: Sequence[Path]) -> dict[str, list[tuple[float, ...]]]:
    """CPU times of each command by turns, one in each folder; the first turn warms the disk cache."""
    times: dict[str, list[tuple[float, ...]]] = {}
    for name, argv in COMMANDS.items():
        times[name] = [tuple(seconds(argv, site) for site in sites) for _ in range(rounds + 1)][1:]
    return times


def table(times: dict[str, list[tuple[float, ...]]]) -> str:
    lines = [f"| command | with 1 | with {MANY} | ratio, median (quartiles) |", "|---|---|---|---|"]
    for name, pairs in times.items():
        one, many = (statistics.median(column) for column in zip(*pairs, strict=True))
        low, middle, high = statistics.quantiles([b / a for a, b in pairs], n=4)
        lines.append(f"| `{name}` | {one:.3f} s | {many:.3f} s | {middle:.2f} ({low:.2f} to {high:.2f}) |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    with TemporaryDirectory() as scratch:
        sites = [install(map(plugin, range(n)), Path(scratch) / str(n), bytecode=True) for n in (1, MANY)]
        times = measure(asked.rounds, sites)
    text = f"""# Start-up with many plugins

`python benchmarks/plugins.py --rounds {asked.rounds}`: CPU seconds (user and system) of a fresh process, medians of
{asked.rounds} pairs taken in turns: with 1 plugin installed, and with {MANY}. `check` uses one of them.
Python {platform.python_version()}, {os.cpu_count()} cores, warm disk cache, one thread.

{table(times)}
"""
    print(text)
    if asked.out:
        asked.out.write_text(text)


if __name__ == "__main__":
    main()
