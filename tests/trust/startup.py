"""What plugins do while they are loaded, and what many of them cost."""

import compileall
import json
import os
import random
import signal
import subprocess
import sys
import warnings
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from time import perf_counter
from typing import Any

import numpy
import pytest
import torch
from strangers import entry, found, write

from diffkit.compose import guard, plugins as loading, registry as parts
from diffkit.compose.hydra import compose
from trust.mutation import mutation
from trust.plugin_faults import good
from trust.plugins import command
from trust.row import Trial, expect, row

RUDE = {
    "hangs": "import time\ntry:\n    time.sleep(60)\nexcept Exception:\n    time.sleep(60)\n",
    "prints": "import os\nprint('a word')\nos.system('echo a command')\nos.write(1, b'a byte')\n",
    "seeds": "import random, numpy, torch\nrandom.seed(0)\nnumpy.random.seed(0)\ntorch.manual_seed(0)\n",
    "sets": """
import os, signal, warnings, numpy, torch
torch.set_default_dtype(torch.float64)
torch.set_default_device("meta")
torch.set_grad_enabled(False)
torch.use_deterministic_algorithms(True)
torch.set_num_threads(3)
torch.set_float32_matmul_precision("medium")
torch.backends.cudnn.benchmark = True
numpy.seterr(all="raise")
os.environ["OMP_NUM_THREADS"] = "64"
os.chdir("/")
signal.signal(signal.SIGTERM, signal.SIG_IGN)
warnings.simplefilter("ignore")
""",
    "takes": "kept = b'x' * 4 * 10**7 * {}\n",
    "devours": "import time\nkept = []\nfor i in range(4 * {}):\n    kept.append(b'x' * 4 * 10**7)\ntime.sleep(2)\n",
}
"""What entry modules do; the number in the last two makes them take gigabytes."""
ENDED = {"hangs": "it takes longer than {} s to load", "devours": "GB of memory to load"}
"""Those that are broken off, and what is said of them."""


@row(
    "P4",
    fault="a plugin that hangs, prints, seeds generators, sets torch's defaults, or takes memory, while it is imported",
    required="start in 10 s, the plugin named; stdout of --json clean; generators and defaults as before",
    bare="hangs",
    full=len(RUDE) + 1,
    small=1,
)
def rude(trial: Trial) -> None:
    """All of them at once in the first trial, with less time and memory; each by itself in the others."""
    site, first = good(trial.folder / "site"), trial.number == 0
    names = list(RUDE) if first else [list(RUDE)[trial.number - 1]]
    for name in names:
        write(site, name, RUDE[name].replace("{}", "1" if first else "30") + "x = 1\n", version="0.8")
    watch, limit = ["trust.startup:watch"], {"DIFFKIT_PLUGIN_SECONDS": "1"} if first else {}
    start = perf_counter()
    done = command("plugins", "--json", sites=[site], inject=[*watch, *["trust.startup:little"] * first], **limit)
    if not first:
        trial.figure("slowest start in s", perf_counter() - start)
        expect(perf_counter() - start <= 10, f"it took {perf_counter() - start:.1f} s")
    expect(done.stdout.startswith("["), f"stdout begins with: {done.stdout[:300]}")
    expect("changed: []" in done.stderr, f"afterwards is {done.stderr[-1500:]}")
    shown = {plugin["distribution"]: plugin for plugin in json.loads(done.stdout)}
    expect(shown["zz-good"]["status"] == "ok", f"the good one: {shown['zz-good']}")
    for name in names:
        said = ENDED.get(name, "").format("1" if first else "8")
        error = shown[name]["error"] or ""
        expect(said in error and bool(said) == bool(error), f"{name}: {shown[name]}")
    expect("takes" not in names or "the plugin takes 0.8 takes " in done.stderr, f"no warning: {done.stderr[-1500:]}")


def watch(patch: pytest.MonkeyPatch) -> None:
    """Say on stderr what the loading of plugins changed."""
    load = parts.load_plugins

    def watched() -> list[loading.Plugin]:
        before = _state()
        plugins = load()
        after = _state()
        print("changed:", [key for key in before if before[key] != after[key]], file=sys.stderr)
        return plugins

    patch.setattr(parts, "load_plugins", watched)


def _state() -> dict[str, Any]:
    """What a plugin may have changed."""
    return {
        "random": random.getstate(),
        "numpy": str(numpy.random.get_state()),
        "torch": torch.get_rng_state().tolist(),
        "defaults": (torch.get_default_dtype(), torch.get_default_device(), torch.is_grad_enabled()),
        "modes": (torch.are_deterministic_algorithms_enabled(), torch.get_float32_matmul_precision()),
        "threads": (torch.get_num_threads(), torch.backends.cudnn.benchmark),
        "errors": numpy.geterr(),
        "process": (dict(os.environ), os.getcwd(), signal.getsignal(signal.SIGTERM)),
        "warnings": list(warnings.filters),
    }


def little(patch: pytest.MonkeyPatch) -> None:
    """Announce and refuse what takes a fraction of the memory."""
    patch.setattr(guard, "_LARGE", 0.03)
    patch.setattr(guard, "_MEMORY", 0.1)


@mutation("what a plugin changes is not undone", "P4", said="changed: ['random'")
def undone(patch):  # type: ignore[no-untyped-def]
    patch.setattr(guard, "_state_kept", nullcontext)
    for what in ("process_kept", "filters_kept"):
        patch.setattr(loading, what, nullcontext)


@mutation("what a plugin prints goes where our own goes", "P4", said="stdout begins with: a ")
def printed(patch):  # type: ignore[no-untyped-def]
    patch.setattr(guard, "_stdout_kept", nullcontext)


@mutation("a plugin may take its time", "P4", said="hangs: {")
def patient(patch):  # type: ignore[no-untyped-def]
    patch.setitem(RUDE, "hangs", "import time\ntime.sleep(1)\n")
    patch.setattr(guard, "_watched", lambda who, limit: nullcontext())


GRID = "from diffkit.standard.grids import Uniform\n\n\nclass Grid(Uniform):\n    '''A grid.'''\n"
USED = ("grid=grid_0", "data=moons", "denoiser=mlp", "conditioner=[class]", "metric=[]")
MANY = 100


@row(
    "P6",
    fault=f"{MANY} plugins installed, 1 used",
    required="a run starts in at most 1.2 times the time that it takes with 1",
    bare="not measured",
    full=11,
    small=1,
)
def many(trial: Trial) -> None:
    """No part but the one that is used is imported; then the CPU time of pairs of real processes is compared."""
    few, all_of_them = (_plugins(trial.folder / str(number), number) for number in (1, MANY))
    if trial.number == 0:
        with found(all_of_them):
            compose(USED)
            imported = [name for name in sys.modules if name.startswith("part_")]
        expect(imported == ["part_0"], f"{len(imported)} parts were imported")
        return
    ratio = _seconds(all_of_them) / _seconds(few)
    trial.figure("greatest ratio", ratio)
    expect(ratio <= 1.2, f"{ratio:.2f} times the time")


def _plugins(site: Path, number: int) -> Path:
    for i in range(number):
        write(site, f"plugin-{i}", entry(f"grid=grid_{i}=part_{i}:Grid"), **{f"part_{i}": GRID})
    compileall.compile_dir(site, quiet=2)
    return site


def _seconds(site: Path) -> float:
    """CPU time from the command to the config of a run, with torch and all that the choices need."""
    before = getrusage(RUSAGE_CHILDREN)
    argv = [sys.executable, "-m", "diffkit.cli", "train", *USED, "--cfg", "job"]
    environment = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(argv, capture_output=True, text=True, env=environment, cwd=site)
    expect(done.returncode == 0, done.stderr[-1500:])
    after = getrusage(RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@mutation("parts are imported to be on offer", "P6", said="100 parts were imported")
def eager(patch):  # type: ignore[no-untyped-def]
    load = loading._load

    def loaded(*asked):  # type: ignore[no-untyped-def]
        plugin = load(*asked)
        for component in () if plugin.standard else plugin.components:
            import_module(component.target.partition(":")[0])
        return plugin

    patch.setattr(loading, "_load", loaded)
