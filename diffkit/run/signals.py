"""Signals: what is asked to stop does so in order, and says how it goes on."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from types import FrameType
from typing import Any

from diffkit.compose.guard import SIGNALS
from diffkit.core.errors import DiffkitError
from diffkit.run.lock import rank

TWICE = 2.0
"""Seconds within which a second Ctrl-C is the first one: a terminal and a program around ours may both pass it on."""


class Stopped(DiffkitError):
    """What was asked to stop did, and can go on from where it is (exit status 128 and the signal's number)."""

    def __init__(self, number: int, where: str) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name} {where}")
        self.status = 128 + number


class Interrupt(BaseException):
    """A signal came while nothing had to be finished first; no `Exception`, so that nobody takes it for an error."""


class Signals:
    """Within it a signal raises `Interrupt`, or is noted where a step is to be finished first (`orderly`).

    A second Ctrl-C interrupts in either case, but never a save (`saving`). Signals are taken over once more by
    `listen`, since Lightning's trainer puts its own handler for SIGTERM in place, which saves nothing.
    """

    def __init__(self) -> None:
        self.number = 0
        """The number of the first signal, 0 as long as there was none."""
        self.orderly = False
        self.saving: Callable[[], bool] = lambda: False
        self.tell: Callable[[int], object] = lambda number: None
        """Passes the signal on to the run's other processes."""
        self._first = 0.0
        self._process = os.getpid()
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Signals":
        self._before = self.listen()
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def listen(self) -> dict[signal.Signals, Any]:
        """Take the signals over; gives their handlers."""
        heard = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]  # as nohup has it
        try:
            return {number: signal.signal(number, self._note) for number in heard}
        except ValueError:  # not on the main thread, where nobody can send us signals
            return {}

    @contextmanager
    def stopping(self, where: Callable[[], str]) -> Iterator[None]:
        """Within it an interruption becomes `Stopped`, which says `where`, and how to go on."""
        try:
            yield
        except Interrupt:
            if rank() > 0:  # the first process says it
                sys.exit(128 + self.number)
            raise Stopped(self.number, where()) from None

    def check(self) -> None:
        """Raise `Interrupt` if a signal was noted."""
        if self.number:
            raise Interrupt

    def _note(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:  # one that reads data, started by a fork: ours tells it when to end
            return
        if not self.number:
            self.number, self._first = number, monotonic()
            self.tell(number)
            if not self.orderly:
                raise Interrupt
        elif number == signal.SIGINT and monotonic() - self._first > TWICE and not self.saving():
            raise Interrupt
