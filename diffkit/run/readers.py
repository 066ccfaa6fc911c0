"""The processes that read the data, where one of them is killed."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread

_ENDED: signal.Signals | None = getattr(signal, "SIGCHLD", None)


@contextmanager
def postponed() -> Iterator[None]:
    """Within it nothing is raised when such a process is killed: it is noticed where the next batch is asked for.

    torch's handler raises wherever the main thread is, in the middle of a save too.
    """
    if _ENDED is None or current_thread() is not main_thread():  # where no handler runs
        yield
        return
    before = signal.signal(_ENDED, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(_ENDED, before)
