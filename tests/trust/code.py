"""Code runs from what is installed: not from the current folder, and not from what was downloaded."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from trust.command import diffkit as command, tiny
from trust.mutation import mutation
from trust.row import Trial, expect, row

_MARK = "open({mark!r}, 'a').write({name!r} + '\\n')\n"
_MODULES = (
    "torch.py", "numpy.py", "yaml.py", "hydra_plugins/stranger.py", "diffkit_stranger.py", "diffkit_emoji.py",
    "sitecustomize.py", "usercustomize.py", "conftest.py", "setup.py", "hydra/__init__.py", "wandb/__init__.py",
)  # fmt: skip
_FILES = {
    "stranger-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n",
    "stranger-1.0.dist-info/entry_points.txt": "[diffkit]\nstranger = diffkit_stranger\n",
    "conf/train.yaml": "hydra: {callbacks: {x: {_target_: diffkit_stranger.A}}}\n",
    "hydra.yaml": "callbacks: {x: {_target_: diffkit_stranger.A}}\n",
    "wandb/settings": "[default]\nbase_url = http://127.0.0.1:9\nentity = trust-stranger\n",
    ".env": "WANDB_ENTITY=trust-stranger\n",
}
_HOOK = """
import os, sys
def hook(event, arguments):
    if event == "exec":
        path = getattr(arguments[0], "co_filename", "")
    elif event == "subprocess.Popen":
        path = os.fsdecode(arguments[0])
    else:
        return
    if os.sep in path and os.path.abspath(path).startswith(HERE + os.sep):
        open(MARK, "a").write(event + " " + path + "\\n")
sys.addaudithook(hook)
"""
"""In a process that is started by itself: what is executed of the folder, whoever imports it."""


def _stranger(folder: Path, mark: Path) -> Path:
    """A folder of modules that leave a mark if they are imported, and of files that would have them imported."""
    for name in _MODULES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(_MARK.format(mark=str(mark), name=name) + "A = dict\n")
    for name, content in _FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


def _script(here: Path, mark: Path, *arguments: str | Path, **env: str) -> str:
    """What the command that pip installed says, started in `here`; whatever it executes there leaves a mark."""
    hooks = mark.parent / "hooks"
    hooks.mkdir()
    (hooks / "sitecustomize.py").write_text(f"HERE, MARK = {str(here)!r}, {str(mark)!r}\n{_HOOK}")
    (here / "diffkit").mkdir()
    (here / "diffkit/__init__.py").write_text(_MARK.format(mark=str(mark), name="diffkit"))
    words = [Path(sys.executable).parent / "diffkit", *arguments]
    path = os.pathsep.join(filter(None, [str(hooks), env.pop("PYTHONPATH", "")]))
    whole = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, **env}
    done = subprocess.run(words, cwd=here, env=whole, capture_output=True, text=True, timeout=300)
    expect(done.returncode == 0, f"status {done.returncode}: {done.stderr[-1500:]}")
    return done.stdout


def _train(here: Path, mark: Path) -> None:
    """Started by `python -m`, which puts the current folder first; W&B would take its settings from there."""
    words = tiny("logger=[csv,wandb]", "logger.wandb.mode=offline", "trainer.max_steps=1", "out=run")
    done = command("train", *words, cwd=here)
    expect(not mark.exists(), f"ran: {mark.exists() and mark.read_text()}")
    expect(done.returncode == 0, f"status {done.returncode}: {done.stderr[-1500:]}")
    for file in (here / "run/wandb").rglob("*.wandb"):
        expect(b"trust-stranger" not in file.read_bytes(), "W&B took its settings from the current folder")


def _sample(here: Path, mark: Path) -> None:
    """What was downloaded with a bundle."""
    import small

    run = small.run_folder(here / "download", "none", "moons") / "bundle"
    _stranger(run, mark)
    done = command("sample", f"run={run}", "n=1", "trainer.accelerator=cpu", cwd=run)
    expect(not mark.exists(), f"ran: {mark.exists() and mark.read_text()}")
    expect(done.returncode == 0, f"status {done.returncode}: {done.stderr[-1500:]}")


def _unloaded(here: Path, mark: Path) -> None:
    """`diffkit plugins` where none may be loaded: one that is installed is shown, and not imported."""
    site = _stranger(mark.parent / "site", mark)
    for name in (*_MODULES, "conf/train.yaml"):
        if name != "diffkit_stranger.py":
            (site / name).unlink()
    said = _script(here, mark, "plugins", "--json", PYTHONPATH=str(site), DIFFKIT_PLUGINS="")
    shown = [entry for entry in json.loads(said) if entry["distribution"] == "stranger"]
    expect(shown and shown[0]["version"] == "1.0" and "blocked" in shown[0]["status"], f"shown: {shown}")
    expect(shown[0]["module"] == "diffkit_stranger", f"its origin is not shown: {shown}")


def _calls(*arguments: str) -> Callable[[Path, Path], None]:
    def call(here: Path, mark: Path) -> None:
        _script(here, mark, *arguments)

    return call


CASES: tuple[Callable[[Path, Path], None], ...] = (
    _train,
    _sample,
    _unloaded,
    _calls("plugins", "--json"),
    _calls("list"),
    _calls("train", "--help"),
    _calls("train", *tiny("trainer.max_steps=1")),
    _calls("check", "data=moons", "conditioner=[class]", "denoiser=mlp", "metric=[]", "trainer.accelerator=cpu"),
    _calls("train", "data=moons", "--cfg", "job"),
    _calls("verify", "schedule=cosine"),
)


@row(
    "S9",
    fault="modules, settings and plugins in the current folder, and in what was downloaded",
    required="nothing of them is imported or executed; diffkit plugins shows origin and version without importing",
    bare="not measured",
    full=10,
    small=3,
)
def strangers_code(trial: Trial) -> None:
    mark = trial.folder / "MARK"
    here = _stranger(trial.folder / "here", mark)
    trial.pick(CASES)(here, mark)
    expect(not mark.exists(), f"ran: {mark.exists() and mark.read_text()}")


@mutation("the current folder comes first, as python -m has it", "S9", said="ran: ")
def from_here(patch):  # type: ignore[no-untyped-def]
    patch.syspath_prepend(os.getcwd())
