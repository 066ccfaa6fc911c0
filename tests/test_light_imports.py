"""What must be quick imports nothing heavy."""

import subprocess
import sys
from resource import RUSAGE_CHILDREN, getrusage

import pytest

HEAVY = {"torch", "lightning", "wandb", "hydra", "omegaconf", "numpy", "sklearn", "matplotlib", "PIL"}
QUICK = 0.5
"""CPU seconds that a command without torch may take."""


def imported(code: str) -> set[str]:
    """The heavy modules that are imported once `code` has run."""
    report = "import sys; print('\\n' + ' '.join(m for m in sys.modules if '.' not in m))"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=True)
    return HEAVY & set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "module",
    ["diffkit", "diffkit.core", "diffkit.core.errors", "diffkit.cli", "diffkit.standard.plugin"]
    + [f"diffkit.compose.{name}" for name in ("plugins", "registry", "overview", "commands", "status", "use")],
)
def test_the_module_imports_nothing_heavy(module: str) -> None:
    assert imported(f"import {module}") == set()


def test_the_registry_lists_every_name_without_importing_a_part() -> None:
    code = "from diffkit.compose.registry import registry; r = registry(); [r.names(k) for k in r.kinds]"
    assert imported(code) == set()


COMMANDS = (["--help"], ["--version"], ["list"], ["plugins"], ["plugins", "--json"], ["train", "--help"], ["new"])


@pytest.mark.parametrize("argv", COMMANDS, ids=" ".join)
def test_the_command_is_quick(argv: list[str]) -> None:
    before = getrusage(RUSAGE_CHILDREN)
    code = (
        f"import sys; sys.argv = ['diffkit', *{argv}]\nfrom diffkit.cli import main\n"
        "try:\n    main()\nexcept SystemExit as e:\n    assert e.code == 0"
    )
    assert imported(code) == set()
    after = getrusage(RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < QUICK
