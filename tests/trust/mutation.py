"""What undoes a promise: diffkit made to behave like the bare stack, so that a row's trials must fail."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Mutation:
    """A change of diffkit's code under which each of `rows` fails within its small number of trials."""

    what: str
    rows: tuple[str, ...]
    said: str
    """Words of the failure that it leads to: that the trial fails for another reason proves nothing."""
    injection: str
    """Its place, as `trust.command` takes it."""
    trials: tuple[int, ...]
    """The trials that notice it, where not all of a row's small number are needed."""


MUTATIONS: list[Mutation] = []
"""Filled as the modules with the trials are imported (`trust.rows` imports all)."""


def mutation(
    what: str, *rows: str, said: str, trials: tuple[int, ...] = ()
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Enter a function `(patch)` that makes the change.

    `@mutation("the average moves after the checkpoint", "X1", said="ema")`
    """

    def enter(change: Callable[..., Any]) -> Callable[..., Any]:
        MUTATIONS.append(Mutation(what, rows, said, f"{change.__module__}:{change.__name__}", trials))
        return change

    return enter
