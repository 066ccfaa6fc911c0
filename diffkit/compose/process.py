"""A command in a process of its own, which starts quickly: it is forked from one that has loaded the slow libraries."""

import multiprocessing
import os
import runpy
import signal
import sys
from collections.abc import Mapping, Sequence
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess

from diffkit.compose.guard import SIGNALS

_SLOW = ("lightning.pytorch", "diffkit.compose.hydra")


def prepare(*modules: str) -> BaseContext:
    """Where processes come from; the slow libraries and `modules` are loaded there from now on.

    Nothing is computed there, so that neither threads nor a device are in use when it forks. On macOS, whose libraries
    do not bear forks, and on Windows, each process starts afresh.
    """
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*_SLOW, *modules])
    resource_tracker.ensure_running()  # it lifts the mask
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # one for all must leave it, to tell how jobs end
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return context


def start(context: BaseContext, command: Sequence[str], environment: Mapping[str, str]) -> BaseProcess:
    """Start the command that this process is, with other arguments: `command` stands in the place of `sys.argv`.

    No signal from the terminal reaches it: who starts it passes them on.
    """
    main = sys.modules["__main__"]
    name = None if main.__spec__ is None else main.__spec__.name
    place = (name, list(command), dict(environment))
    process: BaseProcess = context.Process(target=_become, args=place)  # type: ignore[attr-defined]
    process.start()
    return process


def _become(module: str | None, command: list[str], environment: Mapping[str, str]) -> None:
    if sys.platform != "win32":
        os.setsid()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = command
    if module is None:
        runpy.run_path(command[0], run_name="__main__")
    else:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
