"""Commands without their start: each is run in a fork of one Python that has loaded the slow libraries.

`run(["-m", "diffkit.cli", "check"], cwd=folder)` stands for `subprocess.run([sys.executable, "-m", ...])`, and is
faster by the seconds that torch and the others take to load. Neither diffkit nor a plugin is loaded before the fork: a
command finds them anew, in its own folder and environment. What such a process cannot show is its start: that little is
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
import traceback
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from types import FrameType, ModuleType
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
    given = {**os.environ, "OMP_NUM_THREADS": "1", **(env or {})}
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
        said = [file.read_text(encoding="utf-8") for file in (out, err)]
    return subprocess.CompletedProcess(list(argv), status, said[0], "" if joined else said[1])


@cache
def _started() -> "subprocess.Popen[str]":
    command, env = [sys.executable, __file__], os.environ | {"OMP_NUM_THREADS": "1"}
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
    atexit.register(server.communicate)
    return server


def _ask(order: dict[str, Any]) -> int:
    server = _started()
    assert server.stdin and server.stdout
    print(json.dumps(order), file=server.stdin, flush=True)
    return int(server.stdout.readline())


def _serve() -> None:
    """Fork for each order, and answer with the exit status of the fork."""
    for name in SLOW.split():
        import_module(name)
    sys.path.pop(0)  # the folder of the tests
    assert threading.active_count() == 1, "a fork would be without the other threads"
    gc.collect()
    gc.freeze()  # a fork's collector need not look through all that was loaded, and copy it thereby
    child = 0

    def end(signum: int, frame: FrameType | None) -> None:
        os.kill(child, signal.SIGKILL)

    for line in sys.stdin:
        child = os.fork()
        if not child:
            _become(json.loads(line))
        signal.signal(signal.SIGALRM, end)
        signal.alarm(TIMEOUT)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        signal.alarm(0)
        print(status, flush=True)


def _become(order: dict[str, Any]) -> None:
    """Be the process that was asked for, and end without the second that Python takes to take itself apart."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
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
