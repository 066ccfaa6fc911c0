"""What it costs to start: CPU seconds of a fresh process, beside bare Python and the libraries underneath.

    python benchmarks/startup.py [--rounds 5] > benchmarks/results/startup.md

The commands take turns, so that a busy machine touches all alike; the figure is the median of user and system time.
"""

import argparse
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from statistics import median

DIFFKIT = str(Path(sys.executable).parent / "diffkit")
COMMANDS: dict[str, list[str]] = {
    "python (bare)": [sys.executable, "-c", "pass"],
    "import diffkit": [sys.executable, "-c", "import diffkit"],
    "diffkit --help": [DIFFKIT, "--help"],
    "diffkit list": [DIFFKIT, "list"],
    "diffkit plugins": [DIFFKIT, "plugins"],
    "import torch": [sys.executable, "-c", "import torch"],
    "import hydra": [sys.executable, "-c", "import hydra"],
    "import lightning": [sys.executable, "-c", "import lightning"],
    "diffkit train --help": [DIFFKIT, "train", "--help"],
    "diffkit train --cfg job": [DIFFKIT, "train", "--cfg", "job"],
    "diffkit check": [DIFFKIT, "check"],
}


def cpu_seconds(command: list[str]) -> float:
    """User and system time of one run of `command`, its children included."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} exited with {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Measure and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds: int = parser.parse_args().rounds
    os.environ["OMP_NUM_THREADS"] = "1"
    for command in COMMANDS.values():  # once unmeasured: compiles the bytecode and fills the disk cache
        cpu_seconds(command)
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(rounds):
        for name, command in COMMANDS.items():
            times[name].append(cpu_seconds(command))
    made = ", ".join(f"{name} {version(name)}" for name in ("torch", "lightning", "hydra-core", "wandb"))
    print(f"# Start-up\n\n`python benchmarks/startup.py --rounds {rounds}`: CPU seconds (user + system) of a fresh")
    print(f"process, median and range of {rounds} runs taken in turns. Python {platform.python_version()},")
    print(f"{made}, {os.cpu_count()} cores of {cpu_name()}, warm disk cache, one thread.\n")
    print("| command | median | least | most |\n|---|---|---|---|")
    for name, seconds in times.items():
        print(f"| `{name}` | {median(seconds):.2f} | {min(seconds):.2f} | {max(seconds):.2f} |")


def cpu_name() -> str:
    """The processor's name as Linux gives it, else the platform's word."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
