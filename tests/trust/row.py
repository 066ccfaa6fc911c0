"""A row of the table: what goes wrong, what must happen, and a trial of it."""

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from time import perf_counter
from typing import TypeVar

T = TypeVar("T")


class Fault(AssertionError):
    """A trial's promise was not kept."""


class Missing(Exception):
    """This machine lacks what a trial needs."""


@dataclass
class Trial:
    """One trial: its number, random numbers of its own, and a folder that is removed after it."""

    number: int
    random: Random
    folder: Path
    figures: dict[str, float] = field(default_factory=dict)

    def pick(self, options: "list[T] | tuple[T, ...]") -> T:
        """The option of this trial's turn: over the trials each has its share."""
        return options[self.number % len(options)]

    def figure(self, name: str, value: float) -> None:
        """Note what was measured; the table shows the largest of all trials."""
        self.figures[name] = max(value, self.figures.get(name, value))


@dataclass
class Outcome:
    """What became of a row's trials."""

    trials: int = 0
    failures: list[str] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)
    """The largest value of each that was noted."""
    seconds: float = 0.0
    missing: str = ""
    """What this machine lacked, if the row could not be tried in full."""


@dataclass(frozen=True)
class Row:
    """A fault, bad input or attack; `trial` raises `Fault` if the promise was not kept."""

    id: str
    fault: str
    required: str
    bare: str
    """What the bare stack did, where it was measured."""
    full: int
    small: int
    trial: Callable[[Trial], None]

    def run(self, trials: int | Iterable[int], stop_early: bool = False) -> Outcome:
        """Make that many trials, or those of these numbers; `stop_early` ends at one that fails, or cannot be made."""
        outcome, start = Outcome(), perf_counter()
        for number in range(trials) if isinstance(trials, int) else trials:
            with _folder() as folder:
                trial = Trial(number, Random(f"{self.id} {number}"), folder, outcome.figures)
                try:
                    self.trial(trial)
                except Missing as lack:
                    outcome.missing = str(lack)
                    if stop_early:
                        break
                    continue
                except Exception as error:
                    outcome.failures.append(f"trial {number}: {type(error).__name__}: {error}")
            outcome.trials += 1
            if stop_early and outcome.failures:
                break
        outcome.seconds = perf_counter() - start
        return outcome


ROWS: dict[str, Row] = {}
"""The table, filled as the modules with the trials are imported (`trust.rows` imports all)."""


def row(
    id: str, *, fault: str, required: str, bare: str, full: int, small: int
) -> Callable[[Callable[[Trial], None]], Callable[[Trial], None]]:
    """Enter a trial into the table."""

    def enter(trial: Callable[[Trial], None]) -> Callable[[Trial], None]:
        assert id not in ROWS, id
        ROWS[id] = Row(id, fault, required, bare, full, small, trial)
        return trial

    return enter


def expect(kept: object, said: str) -> None:
    """Raise `Fault` with what was said unless the promise was kept."""
    if not kept:
        raise Fault(said)


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="diffkit-trust-")).resolve()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
