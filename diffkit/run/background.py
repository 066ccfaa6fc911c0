"""Calls that must never hold up or end a run."""

import sys
from collections.abc import Callable
from queue import Full, Queue
from threading import Thread
from time import monotonic

LIMIT = 1000
"""How many calls may wait; more means that nothing is taken any more."""


class Background:
    """Makes calls one after the other on a thread of its own.

    The first one that fails is reported in one line, which ends with what `instead` says, and the rest are dropped:
    the run goes on.
    """

    def __init__(self, what: str, instead: Callable[[], str]) -> None:
        self._what, self._instead = what, instead
        self._calls: Queue[Callable[[], object] | None] = Queue(LIMIT)
        self._given_up = False
        self._thread = Thread(target=self._work, name=what, daemon=True)
        self._thread.start()

    def __call__(self, call: Callable[[], object]) -> None:
        """Make this call soon, after those before it."""
        if self._given_up:
            return
        try:
            self._calls.put_nowait(call)
        except Full:
            self._give_up("it does not answer")

    def close(self, seconds: float) -> bool:
        """Wait for what is left, but not longer than that; whether all was done."""
        end = monotonic() + seconds
        try:
            self._calls.put(None, timeout=0 if self._given_up else seconds)
        except Full:
            self._give_up("it does not answer")
        self._thread.join(0 if self._given_up else max(0.0, end - monotonic()))
        if self._thread.is_alive():
            self._give_up(f"it was not done after {seconds:g} s")
        return not self._given_up

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            if self._given_up:
                return
            try:
                call()
            except Exception as error:
                return self._give_up(" ".join(str(error).split()) or type(error).__name__)

    def _give_up(self, why: str) -> None:
        if not self._given_up:
            self._given_up = True
            print(f"{self._what} is off for this run: {why}. {self._instead()}", file=sys.stderr)
