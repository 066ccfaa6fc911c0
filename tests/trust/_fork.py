"""Calls that may crash, hang, or take the machine's memory."""

import json
import os
import resource
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trust.row import Fault, Missing


def forked(call: Callable[[], Any], seconds: float, memory: int) -> Any:
    """What a call gives in a fork of this process, as JSON can say it; a `Fault` if it does not come to an end.

    It is killed after these seconds of CPU, or a minute more of the clock, and gets no more memory than these bytes.
    """
    if sys.platform != "linux":
        raise Missing("needs the memory of a process as Linux tells it")
    out, into = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads that other tests have left
        pid = os.fork()
    if not pid:
        _be(call, into, seconds, memory)
    os.close(into)
    with os.fdopen(out) as said:
        answer = said.read()
    _, status = os.waitpid(pid, 0)
    if not answer:
        raise Fault(f"it ended with {f'signal {os.WTERMSIG(status)}' if os.WIFSIGNALED(status) else 'no answer'}")
    found = json.loads(answer)
    if "error" in found:
        raise Fault(found["error"])
    return found["value"]


def _be(call: Callable[[], Any], into: int, seconds: float, memory: int) -> None:
    for number, timer, until in (
        (signal.SIGPROF, signal.ITIMER_PROF, seconds),
        (signal.SIGALRM, signal.ITIMER_REAL, seconds + 60),
    ):
        signal.signal(number, signal.SIG_DFL)
        signal.setitimer(timer, until)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + memory, resource.RLIM_INFINITY))
    try:
        found = {"value": call()}
    except BaseException:
        found = {"error": traceback.format_exc()[-900:]}
    os.write(into, json.dumps(found).encode())
    os._exit(0)
