"""Plugins as strangers install them: built, put there by pip, and used by the command in a process of its own."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import forks
import pytest
from packages import Package, install
from strangers import SAMPLER, entry

GOOD = Package(
    "aa-good",
    entry("sampler=good=aa_good.parts:Good", "walk=stroll=aa_good.walk:Stroll", "walk=run=aa_good.walk:Run")
    + """
@diffkit.hookimpl
def diffkit_kinds():
    return [diffkit.Kind("walk", "aa_good.walk:Walk")]

@diffkit.hookimpl
def diffkit_configs():
    return ["aa_good.conf"]

@diffkit.hookimpl
def diffkit_commands():
    return [diffkit.Command("measure", "aa_good.verb:main", "Measures."), diffkit.Command("train", "aa_good.verb:main")]
""",
    files={
        "parts.py": """
            from dataclasses import dataclass
            from aa_good.walk import Walk, Stroll
            from diffkit.core import Sampler
            from diffkit.standard.samplers.ddim import Ddim

            @dataclass(frozen=True)
            class Good(Sampler):
                '''DDIM, in a way of walking.'''
                walk: Walk = Stroll()

                @property
                def order(self):
                    return 1

                def steps(self, denoise, schedule, x, times, noise):
                    yield from Ddim().steps(denoise, schedule, x, times, noise)
            """,
        "walk.py": """
            from abc import ABC, abstractmethod
            from dataclasses import dataclass
            from diffkit.core import Positive

            class Walk(ABC):
                @abstractmethod
                def pace(self): ...

            @dataclass(frozen=True)
            class Stroll(Walk):
                speed: Positive = 1.0
                def pace(self): return self.speed

            @dataclass(frozen=True)
            class Run(Walk):
                speed: Positive = 3.0
                def pace(self): return self.speed
            """,
        "verb.py": """
            def main(arguments):
                print("measured", *arguments)
                return 7 if arguments else None
            """,
        "conf/experiment/aa.yaml": """
            # @package _global_
            # Good's own.
            defaults:
              - override /sampler: good
              - override /data: moons
              - override /denoiser: mlp
              - override /conditioner: [class]
            """,
    },
)

PART = entry("sampler=p=m:P")
BROKEN = {
    "raises": (PART.replace("return", "raise ValueError('boom')\n    return"), "ValueError: boom"),
    "future": ("diffkit_api = 99\n" + PART, "version 99 of the plugin API, and this diffkit has version 1"),
    "slow": ("import time\ntry:\n    time.sleep(10)\nexcept Exception:\n    pass\n", "longer than 1 s to load"),
}
RESEED = """
import random
random.seed(0)
import numpy
numpy.random.seed(0)
import torch
torch.manual_seed(0)
torch.set_default_dtype(torch.float64)
torch.set_default_device("meta")
torch.set_grad_enabled(False)
torch.use_deterministic_algorithms(True)
torch.set_num_threads(3)
torch.set_float32_matmul_precision("medium")
"""
CHATTY = "import os\nprint('a word')\nos.system('echo a command')\nos.write(1, b'a byte')\n"


def still(name: str, source: str, before: str = "") -> Package:
    """A package that offers the class `Still` of this source as a sampler of the package's name."""
    part = f"sampler={name}={name.replace('-', '_')}.parts:Still"
    return Package(name, before + entry(part), "0.8", files={"parts.py": source})


PACKAGES = [
    GOOD,
    *(Package(name, source, "0.7") for name, (source, _) in BROKEN.items()),
    still("chatty", CHATTY + SAMPLER, CHATTY),
    still("reseeds", RESEED + SAMPLER, RESEED),
    Package("one-claims", entry("sampler=shared=m:P", "sampler=ddim=m:P"), point="same"),
    Package("two-claims", entry("sampler=shared=m:P"), point="same"),
    Package("two-verbs", "import diffkit\n\n" + GOOD.entry[GOOD.entry.rindex("@diffkit.hookimpl") :]),
    Package("diffkit", entry("sampler=like_ours=m:P"), "99.0", point="standard", module="not_ours"),
]


@dataclass(frozen=True)
class Machine:
    """A folder of installed plugins, and the processes that find them."""

    site: Path

    def run(self, *argv: str, plugins: str | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run Python; `plugins` are those that may load."""
        environment = {**os.environ, **self._variables(plugins), **variables}
        command = [sys.executable, *argv]
        return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=self.site.parent)

    def fork(self, *argv: str, plugins: str | None = None) -> subprocess.CompletedProcess[str]:
        """The same where torch is loaded already."""
        return forks.run(argv, self.site.parent, self._variables(plugins))

    def _variables(self, plugins: str | None) -> dict[str, str]:
        chosen = {} if plugins is None else {"DIFFKIT_PLUGINS": plugins}
        return {"PYTHONPATH": str(self.site), "OMP_NUM_THREADS": "1", **chosen}

    def diffkit(self, *argv: str, plugins: str | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
        return self.run("-m", "diffkit.cli", *argv, plugins=plugins, **variables)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    return Machine(install(PACKAGES, tmp_path_factory.mktemp("machine")))


def test_each_plugin_is_shown_with_what_it_offers_or_what_is_wrong(machine: Machine) -> None:
    """All at once; stdout is JSON and nothing else, though one prints."""
    started = time.monotonic()
    done = machine.diffkit("plugins", "--json", DIFFKIT_PLUGIN_SECONDS="1")
    assert time.monotonic() - started < 8
    shown: dict[str, dict[str, Any]] = {p["distribution"] + p["version"]: p for p in json.loads(done.stdout)}
    assert done.returncode == 0
    good = shown["aa-good1.0"]
    assert good["status"] == "ok" and good["api"] == 1 and good["module"] == "aa_good"
    assert good["parts"] == ["sampler=good", "walk=stroll", "walk=run"] and good["kinds"] == ["walk"]
    assert good["presets"] == ["aa_good.conf"] and good["commands"] == ["measure", "train"]
    for name, (_, cause) in BROKEN.items():
        assert shown[f"{name}0.7"]["status"] == "error" and cause in shown[f"{name}0.7"]["error"], name
        assert shown[f"{name}0.7"]["parts"] == []
    assert "Warning: the plugin slow 0.7 is still loading after 0.25 s; it is given up after 1 s" in done.stderr
    names = [p["name"] for p in shown.values()]
    assert len(set(names)) == len(names) and {"one-claims", "two-claims", "standard"} <= set(names)
    ours = next(p for p in shown.values() if p["name"] == "standard")
    assert ours["module"] == "diffkit.standard.plugin" and shown["diffkit99.0"]["parts"] == ["sampler=like_ours"]


def test_strict_plugins_stop_at_the_first_broken_one(machine: Machine) -> None:
    done = machine.diffkit("list", plugins="aa-good,raises", DIFFKIT_STRICT_PLUGINS="1")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "Error: The plugin raises 0.7 could not be loaded: ValueError: boom.\n"


CHOOSE = """
import json, sys
from diffkit import DiffkitError
from diffkit.compose.registry import registry
said = {}
for name in sys.argv[1:]:
    try:
        said[name] = registry().load("sampler", name).__module__
    except DiffkitError as error:
        said[name] = str(error)
print(json.dumps(said))
"""


def test_parts_are_found_by_their_names(machine: Machine) -> None:
    asked = ["two-claims/shared", "ddim", "like_ours", "chatty", "good"]
    done = machine.fork("-c", CHOOSE, *asked, plugins=",".join(p.name for p in PACKAGES if p.name not in BROKEN))
    said = json.loads(done.stdout)
    assert "sampler 'shared' of two-claims 1.0 could not be imported from m:P" in said["two-claims/shared"]
    assert "sampler 'like_ours' of diffkit 99.0" in said["like_ours"]
    assert said["ddim"] == "diffkit.standard.samplers.ddim"
    assert said["chatty"] == "chatty.parts" and said["good"] == "aa_good.parts"
    assert done.stderr.count("a word") == done.stderr.count("a command") == done.stderr.count("a byte") == 2


STATE = """
import random
import numpy, torch
from diffkit.compose.registry import registry

def seed():
    random.seed(5); numpy.random.seed(5); torch.manual_seed(5)

def state():
    defaults = torch.get_default_dtype(), torch.get_default_device(), torch.is_grad_enabled(), torch.get_num_threads()
    modes = torch.are_deterministic_algorithms_enabled(), torch.get_float32_matmul_precision()
    print(random.random(), numpy.random.rand(), torch.rand(()).item(), *defaults, *modes)

torch.set_num_threads(2)
torch.set_default_dtype(torch.float16)
seed(); state()
seed(); plugins = registry().plugins; state()
seed(); registry().load("sampler", "reseeds"); state()
"""
LOADED = """
from diffkit.compose.registry import registry
assert all(p.usable for p in registry().plugins if p.name in ("standard", "reseeds"))
import random, numpy, torch
print(torch.get_default_dtype(), torch.get_default_device(), torch.is_grad_enabled(),
      torch.are_deterministic_algorithms_enabled(), torch.get_float32_matmul_precision())
assert torch.initial_seed() != 0
print([random.random(), numpy.random.rand()] == [random.Random(0).random(), numpy.random.RandomState(0).rand()])
"""


def test_neither_random_numbers_nor_torchs_defaults_change(machine: Machine) -> None:
    """Neither by the entry module nor by the part's; where a plugin loads torch itself, it is left as it starts."""
    before, entered, imported = machine.fork("-c", STATE, plugins="reseeds").stdout.splitlines()
    assert before.endswith("torch.float16 cpu True 2 False highest")
    assert entered == before and imported == before
    loaded = machine.run("-c", LOADED, plugins="reseeds", DIFFKIT_PLUGIN_SECONDS="0")
    assert loaded.stdout.splitlines() == ["torch.float32 cpu True False highest", "False"], loaded.stderr


COMMANDS = """
import json, sys
from diffkit.cli import main
for argv in json.loads(sys.argv[1]):
    sys.argv = ["diffkit", *argv]
    try:
        main()
    except SystemExit as done:
        print("status", done.code, *argv, flush=True)
"""


def test_a_new_kind_is_a_part_of_a_run_and_a_part_within_a_part(machine: Machine) -> None:
    """With a preset, in one process with a mistake in it, and with a part of a plugin that could not be loaded."""
    mine = ["check", "experiment=aa", "walk@sampler.walk=run", "sampler.walk.speed=4", "+walk=stroll", "walk.speed=2"]
    wrong, future = ["check", "+walk=stroll", "walk.speed=-1"], ["check", "sampler=p"]
    done = machine.fork("-c", COMMANDS, json.dumps([mine, wrong, future]), plugins="aa-good,future")
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert "sampler good walk=run, walk.speed=4.0 aa-good 1.0" in lines, done.stderr
    assert "walk stroll speed=2.0 aa-good 1.0" in lines
    assert [line.split()[1] for line in lines if line.startswith("status")] == ["0", "2", "2"]
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert errors[0].startswith("Error: walk.speed=-1.0 is not allowed") and "Traceback" not in done.stderr
    assert errors[1].startswith("Error: There is no sampler 'p'")
    assert "future 0.7 could not be loaded: it is built for version 99 of the plugin API" in errors[1]


def test_a_plugin_brings_a_verb(machine: Machine) -> None:
    done = machine.diffkit("measure", "--a", "b=1", plugins="aa-good")
    assert (done.returncode, done.stdout) == (7, "measured --a b=1\n")
    assert machine.diffkit("aa_good/train", plugins="aa-good").stdout == "measured\n"
    shown = machine.diffkit("--help", plugins="aa-good").stdout
    assert "diffkit measure          Measures. (aa-good 1.0)" in shown and "diffkit aa_good/train" in shown
    completed = machine.diffkit("-sc", "query=bash", plugins="aa-good", COMP_LINE="diffkit me")
    assert completed.stdout.split() == ["measure"]
    wrong = machine.diffkit("measur", plugins="aa-good")
    assert wrong.returncode == 2 and "no command 'measur': did you mean 'measure'" in wrong.stderr
    both = machine.diffkit("measure", plugins="aa-good,two-verbs")
    assert both.returncode == 2 and "diffkit measure is claimed by aa-good 1.0 (diffkit aa_good/measure)" in both.stderr


WATCH = """
import sys
asked = []
sys.addaudithook(lambda event, values: asked.append(values[0]) if event == "import" else None)
sys.argv[0] = "diffkit"
from diffkit.cli import main
try:
    main()
except SystemExit as done:
    assert not done.code
targets = [m for m in asked if m.startswith(("aa_good.", "torch", "lightning", "hydra", "omegaconf", "numpy"))]
print("imported", [m for m in targets if m in sys.modules], file=sys.stderr)
"""


@pytest.mark.parametrize(
    "argv", [["plugins"], ["plugins", "--json"], ["list"], ["--help"], ["train", "--help"]], ids=" ".join
)
def test_to_show_a_plugin_no_part_is_imported(machine: Machine, argv: list[str]) -> None:
    done = machine.run("-c", WATCH, *argv, plugins="aa-good")
    assert done.stderr == "imported []\n" and ("good" in done.stdout or "measure" in done.stdout)
    if argv == ["train", "--help"]:
        assert ["aa", "Good's", "own.", "aa-good", "1.0"] in [line.split() for line in done.stdout.splitlines()]


def test_a_plugin_that_is_left_out_is_shown_and_not_imported(machine: Machine) -> None:
    done = machine.diffkit("plugins", "--json", plugins="aa-good")
    shown = {p["distribution"] + p["version"]: p for p in json.loads(done.stdout)}
    assert shown["slow0.7"]["status"] == "blocked by DIFFKIT_PLUGINS" and shown["slow0.7"]["api"] is None
    assert shown["aa-good1.0"]["status"] == "ok" and done.stderr == ""
