"""Files that name what to run, or what to read of this machine: they are data, and do neither."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from trust.command import tiny
from trust.mutation import mutation
from trust.row import Fault, Trial, expect, row
from trust.trained import trained

EVIL: dict[str, dict[str, Any]] = {
    "numpy.savetxt": {"fname": "MARK", "X": [1.0]},
    "os.system": {"_args_": ["touch MARK"]},
    "posix.system": {"_args_": ["touch MARK"]},
    "logging.os.system": {"_args_": ["touch MARK"]},
    "subprocess.run": {"_args_": [["touch", "MARK"]]},
    "builtins.eval": {"_args_": ["open('MARK', 'w')"]},
    "builtins.exec": {"_args_": ["open('MARK', 'w')"]},
    "asyncio.run": {"_args_": [{"_target_": "asyncio.create_subprocess_shell", "cmd": "touch MARK"}]},
    "pickle.loads": {"_args_": ["cos\nsystem\n(S'touch MARK'\ntR."]},
    "torch.load": {"f": "EVIL.pt", "weights_only": False},
    "numpy.load": {"file": "EVIL.pt", "allow_pickle": True},
    "shelve.open": {"filename": "MARK"},
    "trust_stranger.A": {},
    "timeit.timeit": {"stmt": "open('MARK', 'w')", "number": 1},
    "code.interact": {"local": {}},
    "pdb.run": {"statement": "open('MARK', 'w')"},
    "cProfile.run": {"statement": "open('MARK', 'w')"},
    "trace.Trace.run": {"self": {"_target_": "trace.Trace"}, "cmd": "open('MARK', 'w')"},
    "site.addsitedir": {"sitedir": "PTH"},
    "torch.hub.load": {"repo_or_dir": "HUB", "model": "m", "source": "local"},
    "torch.serialization.load": {"f": "EVIL.pt", "weights_only": False},
    "lightning.fabric.utilities.cloud_io._load": {"path_or_url": "EVIL.pt", "weights_only": False},
    "pathlib.Path.write_text": {"_args_": [{"_target_": "pathlib.Path", "_args_": ["MARK"]}, "x"]},
    "shutil.rmtree": {"path": "HUB"},
}
"""Targets and their arguments, each of which would run code or write MARK, but for the last, which removes HUB."""


def _payload(target: str) -> dict[str, Any]:
    return {"_target_": target, **EVIL[target]}


@contextmanager
def _trap(folder: Path) -> Iterator[None]:
    """The current folder has what the payloads need, and they find it there; raises `Fault` for what they did."""
    mark, before = folder / "MARK", Path.cwd()
    for name in ("PTH/x.pth", "HUB/hubconf.py", "trust_stranger.py"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(f"import pathlib; pathlib.Path({str(mark)!r}).touch()\nA = m = dict\n")
    (folder / "EVIL.pt").write_bytes(f"cos\nsystem\n(S'touch {mark}'\ntR.".encode())
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    modules = set(sys.modules)
    try:
        yield
        expect(not list(folder.glob("MARK*")), "code ran")
        expect((folder / "HUB").is_dir(), "a folder was removed")
        named = {".".join(t.split(".")[:i]) for t in EVIL for i in range(1, t.count(".") + 1)}
        expect(not (sys.modules.keys() - modules) & named, f"imported: {(sys.modules.keys() - modules) & named}")
    finally:
        sys.path.remove(str(folder))
        os.chdir(before)
        sys.modules.pop("trust_stranger", None)


@cache
def _honest() -> dict[str, Any]:
    """A run's choices; what honest files need is imported."""
    import lightning.pytorch.profilers
    from omegaconf import OmegaConf

    from diffkit import compose

    assert lightning.pytorch.profilers
    choices: dict[str, Any] = OmegaConf.to_container(compose(tiny()), resolve=True)  # type: ignore[assignment]
    return choices


def refused(call: Callable[[], object], word: str) -> None:
    from diffkit import DiffkitError

    try:
        call()
    except DiffkitError as error:
        expect(word in str(error), f"refused otherwise: {error}")
    except Exception as error:
        raise Fault(f"it was not refused, but ended with {error!r}") from error
    else:
        raise Fault("it was not refused")


def dump(path: Path, content: Mapping[str, Any], head: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(head + yaml.safe_dump(dict(content)))


def edited(run: Path, content: Mapping[str, Any]) -> None:
    """A run whose config has this, without the digest that would refuse every change."""
    from diffkit.run.checkpoint import Checkpoints

    Checkpoints().save_checkpoint({"global_step": 1, "state_dict": {}}, run / "checkpoints/last.ckpt")
    dump(run / "config.yaml", {**_honest(), **content})


def _run(target: str, folder: Path) -> None:
    """A run that is resumed."""
    for place in ({"optimizer": _payload(target)}, {"callbacks": {"x": {"a": [_payload(target)]}}}):
        edited(folder / "run", place)
        refused(lambda: trained("resume=run", cwd=folder), "is not allowed")


def _bundle(target: str, folder: Path) -> None:
    """A bundle that is loaded."""
    import small

    import diffkit

    run = small.run_folder(folder / "run", "none", "moons") / "bundle"
    honest = yaml.safe_load((run / "config.yaml").read_text())
    for place in ({"trainer": _payload(target)}, {"denoiser": {**honest["denoiser"], **_payload(target)}}):
        dump(run / "config.yaml", honest | place)
        refused(lambda: diffkit.load(run), "is not allowed")
        refused(lambda: diffkit.compose([f"run={run}"], "evaluate"), "is not allowed")


def _checkpoint(target: str, folder: Path) -> None:
    """A checkpoint whose other contents are anything: what is trained has no use for them."""
    from diffkit.run.checkpoint import Checkpoints, newest

    run = trained("trainer.max_steps=1", "out=run", cwd=folder)
    file = newest(run / "checkpoints").path
    content = Checkpoints().load_checkpoint(file)
    words = {"_instantiator": target, "_class_path": target, "_partial_": False}
    content |= {"hyper_parameters": {**_payload(target), **words}, "hparams_name": target, "datamodule_hparams": words}
    content["state"] = _payload(target)
    Checkpoints().save_checkpoint(content, file)
    trained("resume=run", "trainer.max_steps=2", cwd=folder)


def _preset(target: str, folder: Path) -> None:
    """A preset in a folder of presets, which may be for Hydra itself, and is moved to any place by another."""
    places: dict[str, dict[str, Any]] = {
        "a": {"optimizer": _payload(target)},
        "b": {"hydra": {"callbacks": {"x": _payload(target)}}},
        "c": {"defaults": [{"/x@hydra.callbacks.y": "y"}]},
        "d": {"hydra": {"job_logging": {"handlers": {"x": {"()": target}}}}},
    }
    dump(folder / "conf/x/y.yaml", _payload(target))
    for name, content in places.items():
        dump(folder / f"conf/experiment/{name}.yaml", content, "# @package _global_\n")
        refused(lambda name=name: command(f"experiment={name}", "--config-dir", "conf"), "")  # type: ignore[misc]


def _plugin(target: str, folder: Path) -> None:
    """The same in the presets of a plugin."""
    import diffkit

    dump(folder / "trust_presets/experiment/trust_a.yaml", {"optimizer": _payload(target)}, "# @package _global_\n")
    dump(folder / "trust_presets/experiment/trust_b.yaml", _payload(target), "# @package hydra.callbacks.x\n")
    (folder / "trust_presets/__init__.py").touch()
    (folder / "trust_plugin.py").write_text(
        "import diffkit\n@diffkit.hookimpl\ndef diffkit_configs():\n    return ['trust_presets']\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        _forgotten(patch)
        diffkit.use(folder / "trust_plugin.py")
        for name in ("trust_a", "trust_b"):
            refused(lambda name=name: command(f"experiment={name}"), "")  # type: ignore[misc]
    for name in [name for name in sys.modules if name.startswith("trust_presets")]:
        del sys.modules[name]


def _forgotten(patch: pytest.MonkeyPatch) -> None:
    """What is used within is not used after."""
    from diffkit.compose.registry import registry

    patch.setitem(vars(registry()), "plugins", registry().plugins)


def _sweep(target: str, folder: Path) -> None:
    """A sweep: what it varies comes as overrides."""
    for word in (f"optimizer._target_={target}", f"+hydra.callbacks.x._target_={target}"):
        refused(lambda word=word: command(word), "_target_")  # type: ignore[misc]


def command(*words: str) -> list[Any]:
    """What `diffkit train` does until it would train: the configs that it would train with."""
    from importlib import import_module

    found: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["diffkit"])
        import_module("diffkit.compose.hydra").run("train", lambda cfg, _: found.append(cfg), ["data=moons", *words])
    return found


KINDS = (_preset, _run, _bundle, _checkpoint, _plugin, _sweep)


@row(
    "S3",
    fault="a file names what to run: a run, a bundle, a checkpoint, a preset, a plugin's preset, a sweep",
    required="refused before any import; none of 24 targets runs",
    bare="10/24 ran",
    full=144,
    small=6,
)
def named_targets(trial: Trial) -> None:
    _honest()
    turn = trial.number // len(KINDS) + 4 * (trial.number % len(KINDS))
    target = list(EVIL)[turn % len(EVIL)]
    with _trap(trial.folder):
        trial.pick(KINDS)(target, trial.folder)


@mutation("what a run's config names is not looked at when it is read", "S3", said="refused otherwise")
def unread(patch):  # type: ignore[no-untyped-def]
    from diffkit.compose import plain

    patch.setattr(plain, "check_config", lambda config: None)


@mutation("presets are given to Hydra as they are", "S3", said="was not refused")
def instantiated(patch):  # type: ignore[no-untyped-def]
    from diffkit.compose import files

    patch.setattr(files, "_checked", lambda found, path: found)
