"""A guard around a plugin's code: what it does while it is imported, or asked what it offers, leaves no trace."""

import os
import random
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from types import FrameType
from typing import Any

from diffkit.core.errors import DiffkitError

SIGNALS = tuple(s for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1") if (s := getattr(signal, name, None)))
"""What asks a process to stop."""
SECONDS = "DIFFKIT_PLUGIN_SECONDS"
"""The environment variable that says how long a plugin may take to load; 0 for any time."""
_LIMIT, _SLOW, _TICK = 8.0, 2.0, 0.25
_LARGE, _MEMORY = 1.0, 4.0
"""GB that a plugin's loading is warned of, and that it is broken off at."""


class Overdue(BaseException):
    """A plugin took more than it may; a BaseException, so that its own `except Exception` does not swallow it."""


def time_limit() -> float | None:
    """The seconds that a plugin may take to load; None for any number. Raises `DiffkitError` if it is no number."""
    given = os.environ.get(SECONDS, str(_LIMIT))
    try:
        seconds = float(given)
    except ValueError:
        raise DiffkitError(f"{SECONDS}={given} is not allowed: it must be a number of seconds; 0 for any.") from None
    return seconds if seconds > 0 else None


@contextmanager
def guarded(who: str, limit: float | None = None) -> Iterator[None]:
    """Run code of `who` without traces in generators, defaults and stdout; say on stderr if it is slow, or takes much.

    After `limit` seconds, or above 4 GB, it is broken off by `Overdue`, in the main thread and where the system has
    timers; elsewhere it is announced only.
    """
    before = _resident()
    with _state_kept(), _stdout_kept(), _watched(who, limit):
        yield
    if (taken := _resident() - before) > _LARGE:
        print(f"Warning: {who} takes {taken:.1f} GB of memory to load", file=sys.stderr, flush=True)


def _resident() -> float:
    """The GB of memory that this process has; 0 where the system does not say."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e9
    except OSError:
        return 0.0


@contextmanager
def contained() -> Iterator[None]:
    """Run code without lasting effects, however long it takes: a part's module may be the first to need torch.

    The global random generators, torch's defaults, the environment, the present folder and the handlers of signals are
    afterwards what they were, and stdout gets nothing.
    """
    with process_kept(), _state_kept(), _stdout_kept():
        yield


@contextmanager
def filters_kept() -> Iterator[None]:
    """Keep the filters of warnings: a plugin that silences its own would silence what is said of all others."""
    with warnings.catch_warnings():
        yield


@contextmanager
def _stdout_kept() -> Iterator[None]:
    """Send to stderr what is printed, also by C code and by commands that are called."""
    try:
        kept = os.dup(1)
        os.dup2(2, 1)
    except OSError:  # one of them is closed
        with redirect_stdout(sys.stderr):
            yield
        return
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


@contextmanager
def process_kept() -> Iterator[None]:
    """Keep the environment, the present folder, and the handlers of signals."""
    variables, folder = dict(os.environ), _folder()
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        if os.environ != variables:
            os.environ.clear()
            os.environ.update(variables)
        if folder is not None and _folder() != folder:
            os.chdir(folder)
        for number, handler in handlers.items():
            if handler is not None and signal.getsignal(number) != handler:
                signal.signal(number, handler)


def _folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return None


@contextmanager
def _watched(who: str, limit: float | None) -> Iterator[None]:
    slow = _SLOW if limit is None else min(_SLOW, limit / 4)
    end = "" if limit is None else f"; it is given up after {limit:g} s ({SECONDS} changes that)"

    def announce() -> None:
        with suppress(RuntimeError):  # the signal came amid a write to stderr
            print(f"Warning: {who} is still loading after {slow:g} s{end}", file=sys.stderr, flush=True)

    if sys.platform == "win32" or threading.current_thread() is not threading.main_thread():
        timer = threading.Timer(slow, announce)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
    else:
        with _alarm(announce, slow, limit):
            yield


if sys.platform != "win32":

    @contextmanager
    def _alarm(announce: Callable[[], None], slow: float, limit: float | None) -> Iterator[None]:
        """Announce at `slow`; raise at `limit`, or above the memory, and at each tick after it: it may be caught."""
        started, memory, announced, done = time.monotonic(), _resident(), False, False

        def ring(number: int, frame: FrameType | None) -> None:
            nonlocal announced
            if done:
                return
            passed = time.monotonic() - started
            if _resident() - memory > _MEMORY:
                raise Overdue(f"it takes more than {_MEMORY:g} GB of memory to load")
            if limit is not None and passed >= limit:
                raise Overdue(f"it takes longer than {limit:g} s to load; {SECONDS}=60 would give it a minute")
            if passed >= slow and not announced:
                announced = True
                announce()

        before = signal.signal(signal.SIGALRM, ring)
        tick = min(_TICK, slow)
        delay, interval = signal.setitimer(signal.ITIMER_REAL, tick, tick)
        try:
            yield
        finally:
            done = True
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before or signal.SIG_DFL)
            if delay:  # somebody else's alarm
                signal.setitimer(signal.ITIMER_REAL, max(delay - (time.monotonic() - started), 1e-3), interval)


@contextmanager
def _state_kept() -> Iterator[None]:
    """The state of the generators, and torch's defaults; a library that is loaded meanwhile is left as it starts."""
    numbers = random.getstate()
    numpy, torch = sys.modules.get("numpy.random"), sys.modules.get("torch")
    drawn = None if numpy is None else numpy.get_state()
    floats = None if numpy is None else sys.modules["numpy"].geterr()
    generators, defaults = (None, None) if torch is None else (_generators(torch), _defaults(torch))
    try:
        yield
    finally:
        random.setstate(numbers)
        if (numpy := sys.modules.get("numpy.random")) is not None:
            numpy.seed() if drawn is None else numpy.set_state(drawn)
            sys.modules["numpy"].seterr(**(floats or {"all": "warn", "under": "ignore"}))
        if (torch := sys.modules.get("torch")) is not None:
            _restore(torch, generators, defaults)


_SETTERS = {
    "get_default_dtype": "set_default_dtype",
    "get_default_device": "set_default_device",
    "is_grad_enabled": "set_grad_enabled",
    "get_deterministic_debug_mode": "set_deterministic_debug_mode",
    "get_float32_matmul_precision": "set_float32_matmul_precision",
    "get_num_threads": "set_num_threads",
}
"""torch's functions that read its defaults, and those that set them."""
_CUDNN = ("benchmark", "deterministic")


def _generators(torch: Any) -> tuple[Any, Any]:
    return torch.get_rng_state(), torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []


def _defaults(torch: Any) -> dict[str, Any]:
    flags = {flag: getattr(torch.backends.cudnn, flag) for flag in _CUDNN}
    return {read: getattr(torch, read)() for read in _SETTERS} | flags


def _restore(torch: Any, generators: tuple[Any, Any] | None, defaults: dict[str, Any] | None) -> None:
    """None stands for what torch starts with; how many threads those are is not known once it is loaded."""
    if generators is None:
        torch.default_generator.seed()
    else:
        torch.set_rng_state(generators[0])
        torch.cuda.set_rng_state_all(generators[1])
    fresh = dict(zip(_SETTERS, (torch.float32, torch.device("cpu"), True, 0, "highest"), strict=False))
    known = defaults or fresh | dict.fromkeys(_CUDNN, False)
    for flag in _CUDNN:
        setattr(torch.backends.cudnn, flag, known.pop(flag))
    for read, before in known.items():
        if getattr(torch, read)() != before:
            # the CPU is where tensors are made without a default, which every call would have to look up
            value = None if before == torch.device("cpu") else before
            getattr(torch, _SETTERS[read])(value)
