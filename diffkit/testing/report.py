"""The report: every registered part held against its contract, and what was measured of every sampler."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Literal

from diffkit.compose.registry import registry
from diffkit.core.errors import DiffkitError
from diffkit.core.sampler import Sampler
from diffkit.testing.accuracy import CALLS, FEW, flow_error, moment_error, steps_within
from diffkit.testing.contracts.convergence import Convergence
from diffkit.testing.contracts.sampler import OnSchedules
from diffkit.testing.contracts.walk import gaussian, mixture
from diffkit.testing.given import Unproven
from diffkit.testing.kinds import Subject, prove
from diffkit.testing.settings import Setting, settings_of

Verdict = Literal["pass", "fail", "skip"]
Errors = tuple[float | None, ...]
"""One for each number of calls or steps; None where the sampler cannot be had with so many."""


@dataclass(frozen=True)
class Figures:
    """What was measured of a sampler."""

    sampler: Sampler
    declared: int
    calls: int | None
    convergence: Convergence
    gaussian: Errors
    """Relative errors of the solution at `CALLS` network calls; of the total variance where noise is drawn."""
    mixture: Errors
    """The same on the mixture; empty where noise is drawn."""
    few: Errors
    """As `gaussian`, at 1 and 2 steps."""


@dataclass(frozen=True)
class Row:
    """A line of the report."""

    setting: Setting
    verdict: Verdict
    sentence: str
    """Why it failed or was skipped."""
    seconds: float
    figures: Figures | None = None


def chosen(words: Sequence[str]) -> list[Setting]:
    """What `kind` and `kind=name` stand for, in all its settings; everything if there are none.

    Raises `DiffkitError` for an unknown kind or name.
    """
    found = []
    for word in words or registry().kinds:
        kind, _, name = word.partition("=")
        names = [name] if name else registry().names(kind)
        found += [setting for n in names for setting in settings_of(kind, n)]
    return found


def verify(chosen: Sequence[Setting]) -> Iterator[Row]:
    """A row for each setting. A part's code is a stranger's: whatever it raises is a failure with a sentence."""
    for setting in chosen:
        since, found = perf_counter(), list[Figures]()
        verdict: Verdict = "pass"
        sentence = ""
        try:
            _verify(setting, found)
        except Unproven as error:
            verdict, sentence = "skip", str(error)
        except (AssertionError, DiffkitError) as error:
            verdict, sentence = "fail", str(error) or type(error).__name__
        except Exception as error:
            verdict, sentence = "fail", f"{type(error).__name__}: {error}"
        figures = found[0] if found else None
        yield Row(setting, verdict, " ".join(sentence.split()), perf_counter() - since, figures)


def _verify(setting: Setting, found: list[Figures]) -> None:
    """Raise what speaks against a part; `found` gets the figures of a sampler, also of one that fails, if it can."""
    subject = Subject(setting)
    try:
        if setting.kind == "sampler":
            found.append(measure(subject.cases[0]))
    finally:  # what a contract says is worth more than an error on the way
        prove(subject)


def measure(case: OnSchedules) -> Figures:
    """The order of a sampler, and its errors for what it costs."""
    sampler, found = case.sampler, case.convergence
    steps = [] if sampler.calls_per_step is None else [steps_within(sampler, calls) for calls in CALLS]
    if found.stochastic:
        at = [None if n is None else moment_error(sampler, n) for n in steps]
        few, other = [moment_error(sampler, n) for n in FEW], []
    else:
        at, other = ([None if n is None else flow_error(sampler, o, n) for n in steps] for o in (gaussian(), mixture()))
        few = [flow_error(sampler, gaussian(), n) for n in FEW]
    return Figures(sampler, sampler.order, sampler.calls_per_step, found, tuple(at), tuple(other), tuple(few))
