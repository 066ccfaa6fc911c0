"""Commands without their start: each is run in a fork of one Python that has loaded the slow libraries.

`run(["-m", "diffkit.cli", "check"], cwd=folder)` stands for `subprocess.run([sys.executable, "-m", ...])`, and is
faster by the seconds that torch and the others take to load; `start` gives one that goes on meanwhile, to be watched,
signalled and killed. Neither diffkit nor a plugin is loaded before the fork: a command finds them anew, in its own
folder and environment. What such a process cannot show is its start: that little is
imported, that it is quick. Tests of that start a real one, and so does pip: `sys.prefix` is that of the tests.
"""

import atexit
import gc
import json
import os
import runpy
import signal
import site
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

SLOW = (
    "hydra_zen hydra._internal.hydra lightning.pytorch matplotlib.pyplot pluggy PIL.ImageDraw rich.table "
    "safetensors.torch scipy.integrate sklearn.datasets sklearn.model_selection torch.profiler torchmetrics wandb"
)
TIMEOUT = 600
"""Seconds until a command is killed."""
QUIET = "-W 'ignore:Module already imported:pytest.PytestAssertRewriteWarning'"
"""For pytest, which wishes to be the first to import hydra."""


def run(
    argv: Sequence[str | Path],
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    packages: Path | None = None,
    joined: bool = False,
) -> subprocess.CompletedProcess[str]:
    """What `python *argv` does, where argv begins with `-c`, `-m` or a script.

    `env` is added to the environment. `packages` is the site-packages of an environment of its own; `joined` puts the
    error output among the output.
    """
    given = {**_environment(), **(env or {})}
    if sys.platform == "win32":
        given["PYTHONPATH"] = os.pathsep.join(filter(None, [given.get("PYTHONPATH"), packages and str(packages)]))
        return subprocess.run(
            [sys.executable, *map(str, argv)], cwd=cwd, env=given, stdin=subprocess.DEVNULL, text=True, timeout=TIMEOUT,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT if joined else subprocess.PIPE,
        )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "out" if joined else "err")
        order = {"cwd": str(cwd or Path.cwd()), "env": given, "packages": packages and str(packages)}
        status = _ask({"argv": list(map(str, argv)), "out": str(out), "err": str(err), **order})
        assert status is not None
        said = [file.read_text(encoding="utf-8") for file in (out, err)]
    return subprocess.CompletedProcess(list(argv), status, said[0], "" if joined else said[1])


@dataclass(frozen=True)
class Running:
    """A command that goes on; leaving its `with` ends it, and all that it started."""

    pid: int
    out: Path
    err: Path

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *error: object) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.wait(10)

    def wait(self, seconds: float = TIMEOUT) -> int | None:
        """The exit status, which is negative for a signal; None if it goes on after these seconds."""
        return _ask({"wait": self.pid, "seconds": seconds})

    def until(self, text: str, seconds: float = 60) -> None:
        """Return once the command has written this; raises `TimeoutError` if it ends, or does not in these seconds."""
        end = time.monotonic() + seconds
        while text not in self.said:
            if time.monotonic() > end or (self.wait(0) is not None and text not in self.said):
                raise TimeoutError(f"{text!r} was not written, but: {self.said[-2000:]}")
            time.sleep(0.005)

    @property
    def said(self) -> str:
        """What it has written so far, first that to its output."""
        return "".join(file.read_text(encoding="utf-8", errors="replace") for file in (self.out, self.err))


def start(argv: Sequence[str | Path], cwd: Path, env: Mapping[str, str] | None = None) -> Running:
    """What `python *argv` does, going on in a session of its own; what it says is in files in `cwd`."""
    given = {**_environment(), **(env or {})}
    out, err = (Path(tempfile.mkstemp(prefix=f".{name}-", dir=cwd)[1]) for name in ("out", "err"))
    order = {"argv": list(map(str, argv)), "cwd": str(cwd), "env": given, "packages": None}
    pid = _ask({**order, "out": str(out), "err": str(err), "goes_on": True})
    assert pid is not None
    return Running(pid, out, err)


def _environment() -> dict[str, str]:
    """This process's; a W&B that it has started serves no other, as it would end with that one."""
    return {**{name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}, "OMP_NUM_THREADS": "1"}


@cache
def _started() -> "subprocess.Popen[str]":
    command, env = [sys.executable, __file__], os.environ | {"OMP_NUM_THREADS": "1"}
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
    atexit.register(server.communicate)
    return server


def _ask(order: dict[str, Any]) -> int | None:
    server = _started()
    assert server.stdin and server.stdout
    print(json.dumps(order), file=server.stdin, flush=True)
    answer: int | None = json.loads(server.stdout.readline())
    return answer


def _serve() -> None:
    """Fork for each order, and answer with the exit status of the fork, or with its number if it is to go on."""
    for name in SLOW.split():
        import_module(name)
    sys.path.pop(0)  # the folder of the tests
    assert threading.active_count() == 1, "a fork would be without the other threads"
    gc.collect()
    gc.freeze()  # a fork's collector need not look through all that was loaded, and copy it thereby
    ended: dict[int, int] = {}
    for line in sys.stdin:
        order = json.loads(line)
        if "wait" in order:
            answer = _wait(order["wait"], order["seconds"], ended)
        else:
            pid = os.fork()
            if not pid:
                _become(order)
            answer = pid
            if not order.get("goes_on"):
                answer = _wait(pid, TIMEOUT, ended)
                if answer is None:
                    os.kill(pid, signal.SIGKILL)
                    answer = _wait(pid, TIMEOUT, ended)
        print(json.dumps(answer), flush=True)


def _wait(pid: int, seconds: float, ended: dict[int, int]) -> int | None:
    """The exit status of a fork, None if it still goes on after these seconds."""
    end = time.monotonic() + seconds
    while pid not in ended:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            ended[pid] = os.waitstatus_to_exitcode(status)
        elif time.monotonic() > end:
            return None
        else:
            time.sleep(0.005)
    return ended[pid]


def _become(order: dict[str, Any]) -> None:
    """Be the process that was asked for, and end without the second that Python takes to take itself apart."""
    if order.get("goes_on"):
        os.setsid()
    out = os.open(order["out"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    err = out if order["err"] == order["out"] else os.open(order["err"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for number, file in enumerate((os.open(os.devnull, os.O_RDONLY), out, err)):
        os.dup2(file, number)
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    os.environ["PYTEST_ADDOPTS"] = f"{os.environ.get('PYTEST_ADDOPTS', '')} {QUIET}"
    first = [path for path in order["env"].get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:] = dict.fromkeys([*first, *sys.path])  # each once: what is installed in it is found once
    if order["packages"]:
        site.addsitedir(order["packages"])
    status = _status(order["argv"])
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(status)


def _status(argv: list[str]) -> int:
    try:
        _execute(argv)
    except SystemExit as done:
        if done.code is None or isinstance(done.code, int):
            return done.code or 0
        print(done.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _execute(argv: list[str]) -> None:
    first, *rest = argv
    if first == "-c":
        sys.argv, module = ["-c", *rest[1:]], ModuleType("__main__")
        sys.modules["__main__"] = module
        sys.path.insert(0, "")
        exec(compile(rest[0], "<string>", "exec"), vars(module))
    elif first == "-m":
        sys.argv = rest
        sys.path.insert(0, os.getcwd())
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv = argv
        runpy.run_path(first, run_name="__main__")


if __name__ == "__main__":
    _serve()
