"""The diffkit command as trials call it: in a process of its own, with faults put into it.

An injection is a function `(patch, *arguments)` with a `pytest.MonkeyPatch`, named by its place, `trust.runs:nan_at`,
and given to a command as text, `"trust.runs:nan_at 5"`. It acts in every Python process that the command starts by its
own command line, the other devices' too. A mutation (`trust.mutation`) is one that undoes a promise.
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from subprocess import CompletedProcess

import forks
import pytest

from trust.row import expect

TINY = (
    "data=moons", "data.batch_size=32", "conditioner=[class]", "conditioner.class.width=4", "denoiser=mlp",
    "denoiser.width=8", "denoiser.depth=1", "denoiser.embedding=8", "task.warmup=2", "grid.steps=2", "metric=[]",
    "samples=0", "preview_every=0", "trainer.max_steps=8", "+trainer.limit_val_batches=0", "logger=[csv]",
    "callbacks=[figures,saving]", "callbacks.figures.every=2", "callbacks.saving.every=1",
)  # fmt: skip
"""A training run that is as small as they get: some hundred weights, eight updates, a checkpoint after each."""
_VARIABLE = "DIFFKIT_TRUST_INJECT"
_active: list[str] = []


def tiny(*overrides: str) -> list[str]:
    """The arguments of `diffkit train` for a tiny run with these overrides; another conditioner has its own keys."""
    given = {o.partition("=")[0] for o in overrides}
    kept = [o for o in TINY if not ("conditioner" in given and o.startswith("conditioner."))]
    return [*(o for o in kept if o.partition("=")[0] not in given), *overrides]


def diffkit(
    *arguments: str | Path, cwd: Path, inject: Sequence[str] = (), env: Mapping[str, str] | None = None
) -> CompletedProcess[str]:
    """Run the command to its end."""
    argv, environment = _call(arguments, inject, env)
    return forks.run(argv, cwd=cwd, env=environment)


def start(
    *arguments: str | Path, cwd: Path, inject: Sequence[str] = (), env: Mapping[str, str] | None = None
) -> forks.Running:
    """Start the command: a context that ends it."""
    argv, environment = _call(arguments, inject, env)
    return forks.start(argv, cwd, env=environment)


def refused(done: CompletedProcess[str], *words: str) -> None:
    """The command ended as a user's mistake does: status 2, at most 10 lines, no traceback, and these words in it."""
    said = done.stderr.strip()
    expect(done.returncode == 2, f"status {done.returncode}, not 2: {said[-1500:]}")
    expect("Traceback" not in said, f"a traceback: {said[-1500:]}")
    expect(len(said.splitlines()) <= 10, f"{len(said.splitlines())} lines: {said[:1500]}")
    for word in words:
        expect(word in said, f"{word!r} is not in: {said[:1500]}")


@contextmanager
def injected(*names: str) -> Iterator[None]:
    """Within it these injections act in this process, and in every command that is started from it."""
    with pytest.MonkeyPatch.context() as patch:
        apply(names, patch)
        _active.extend(names)
        try:
            yield
        finally:
            del _active[len(_active) - len(names) :]


def apply(names: Sequence[str], patch: pytest.MonkeyPatch) -> None:
    """Call the injections of these names."""
    for text in names:
        place, *arguments = text.split()
        module, _, name = place.partition(":")
        getattr(import_module(module), name)(patch, *arguments)


def main() -> None:
    """Be the diffkit command, with the injections that the environment names."""
    apply(os.environ[_VARIABLE].split("\n"), pytest.MonkeyPatch())
    from diffkit.cli import main as command

    command()


def _call(
    arguments: Sequence[str | Path], inject: Sequence[str], env: Mapping[str, str] | None
) -> tuple[list[str], dict[str, str]]:
    names = [*_active, *inject]
    words = [str(a) for a in arguments]
    if not names:
        return ["-m", "diffkit.cli", *words], dict(env or {})
    path = os.pathsep.join(filter(None, [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]))
    return ["-m", "trust.command", *words], {"PYTHONPATH": path, _VARIABLE: "\n".join(names), **(env or {})}


if __name__ == "__main__":
    sys.modules["trust.command"] = sys.modules["__main__"]
    main()
