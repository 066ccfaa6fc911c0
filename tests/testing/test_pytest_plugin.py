"""`pytest --diffkit-plugin`, in a process of its own and a folder without tests."""

import os
import subprocess
import sys
from pathlib import Path

import forks
import pytest

PLUGIN = '''
from dataclasses import dataclass

import torch
import diffkit
from diffkit.core import Fraction, Grid, Prediction, Sampler, State


@dataclass(frozen=True)
class Mine(Sampler):
    """Euler's method in x / alpha: DDIM without noise."""

    strength: Fraction = 1.0
    order = 1

    def steps(self, denoise, schedule, x, times, noise):
        for i in range(len(times) - 1):
            (alpha_t, sigma_t), (alpha_s, sigma_s) = schedule(times[i]), schedule(times[i + 1])
            x_0, ratio = denoise(x, times[i]), (sigma_s / sigma_t).item()
            x = ratio * x + (alpha_s - ORDER_SLIP alpha_t * ratio).item() * x_0
            yield State(i + 1, times[i + 1].item(), x, x_0)


@dataclass(frozen=True)
class Needs(Prediction):
    """A prediction without a default for its number."""

    number: float

    def __call__(self, alpha, sigma):
        return torch.zeros_like(alpha), torch.ones_like(alpha)


class Broken(Grid):
    """A grid that raises an error of its own."""

    steps = 3

    def __init__(self):
        raise ValueError("no grid today")

    def __call__(self, schedule):
        return None


@diffkit.hookimpl
def diffkit_components():
    return [diffkit.Component(kind, name, part) for kind, name, part in PARTS]
'''


WARY = "import sys, warnings; warnings.simplefilter('error'); sys.warnoptions.append('error'); import pytest"


def run(folder: Path, *arguments: str, parts: str = "", slip: str = "") -> tuple[int, str]:
    """The status and what pytest prints, with warnings as errors."""
    _write(folder, parts, slip)
    code = ["-c", f"{WARY}; sys.exit(pytest.main())", "-p", "no:cacheprovider", *arguments]
    done = forks.run(code, folder, {"PYTEST_ADDOPTS": "", "COLUMNS": "150"}, joined=True)
    return done.returncode, done.stdout


def start(folder: Path, *arguments: str) -> tuple[int, str]:
    """The same in a process that has not loaded anything yet, and with a hash seed of its own."""
    _write(folder)
    command = [sys.executable, "-W", "error", "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(
        command, cwd=folder, env=os.environ | {"PYTHONHASHSEED": "random", "PYTEST_ADDOPTS": "", "COLUMNS": "150"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120,
    )  # fmt: skip
    return done.returncode, done.stdout


def _write(folder: Path, parts: str = "", slip: str = "") -> None:
    given = parts or '("sampler", "mine", Mine)'
    (folder / "mine.py").write_text(PLUGIN.replace("PARTS", f"[{given}]").replace("ORDER_SLIP", slip))


def test_a_good_plugin_passes_in_two_processes_of_other_hash_seeds(tmp_path: Path) -> None:
    status, said = start(tmp_path, "--diffkit-plugin", "./mine.py", "-n", "2", "-v")
    assert status == 0, said
    for contract in ("interface", "documented", "composes", "builds", "states", "order", "moments"):
        assert f"mine/sampler=mine::{contract}" in said
    assert "warning" not in said


def test_what_breaks_is_a_message_and_not_a_traceback(tmp_path: Path) -> None:
    arguments = ("--diffkit-plugin=./mine.py", "-k", "order or states", "-rN")
    status, said = run(tmp_path, *arguments, slip="0.999 *")
    assert status == 1
    assert "collected 15 items / 13 deselected / 2 selected" in said
    failure = said.split("mine/sampler=mine::order ")[1].splitlines()[1:3]
    assert failure[0].startswith("Mine(strength=1.0): has order ") and ", declared 1: the fitted slope of" in failure[0]
    assert failure[1] == (
        "The contract 'order': Its error falls with the number of steps as its declared order says, against exact "
        "solutions."
    )
    assert "Traceback" not in said and "diffkit/testing" not in said and "warning" not in said


def test_what_cannot_be_proven_is_skipped_with_the_reason(tmp_path: Path) -> None:
    parts = '("prediction", "needs", Needs), ("grid", "broken", Broken)'
    status, said = run(tmp_path, "--diffkit-plugin", "./mine.py", "-rs", parts=parts)
    assert status == 1
    assert "needs number: no default" in said
    assert "FAILED mine/grid=broken::builds" in said or "mine/grid=broken ..." in said
    assert "no grid today" in said.split("FAILURES")[1]
    assert "1 failed" in said and "it cannot be built, as builds says: " in said


@pytest.mark.parametrize("word", ["nothing_like_it", "./other.py"])
def test_an_unknown_plugin_is_a_usage_error(tmp_path: Path, word: str) -> None:
    status, said = run(tmp_path, "--diffkit-plugin", word)
    assert status == 4 and f"ERROR: --diffkit-plugin {word}: " in said
    assert "(installed: standard" in said or "no such file" in said
    assert "Traceback" not in said


def test_without_the_option_nothing_is_imported(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import sys\n\ndef test_it():\n    heavy = {'torch', 'hydra', 'lightning', 'diffkit.testing.kinds'}\n"
        "    assert not heavy & set(sys.modules)\n"
    )
    arguments = ("-p", "no:hydra_pytest", "-p", "no:jaxtyping")
    status, said = start(tmp_path, *arguments)
    assert status == 0, said
