"""What a checkpoint may hold, and whose parts made it."""

import shutil
import warnings
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from strangers import entry, found, write

from trust._formats import folder, refusal
from trust.mutation import mutation
from trust.row import Fault, Trial, expect, row
from trust.trained import trained


class Colour(Enum):
    """An enum that is no text."""

    RED = 1


class Point(torch.Tensor):
    """A tensor of a class of its own."""


def _config() -> Any:
    from omegaconf import OmegaConf

    return OmegaConf.create({"a": 1})


OBJECTS: dict[str, Any] = {
    "numpy.int64": np.int64(1),
    "numpy.ndarray": np.ones(2),
    "PosixPath": Path("/x"),
    "Colour": Colour.RED,
    "DictConfig": _config(),
    "builtins.set": {1},
    "builtins.bytes": b"x",
    "builtins.function": lambda: 0,
    "Trial": Trial(0, None, Path()),  # type: ignore[arg-type]
    "torch.dtype": torch.float16,
    "builtins.complex": 1j,
    "decimal.Decimal": Decimal(1),
    "torch.device": torch.device("cpu"),
    "Point": torch.ones(2).as_subclass(Point),
    "builtins.tuple": {(1, 2): 3},
}


@row(
    "C5",
    fault="a plugin's state holds another object than tensors, numbers, text, lists and dicts",
    required="refused with its place before the first update, or at the save that it is in; the one before stays",
    bare="found at resume",
    full=45,
    small=3,
)
def no_plain_state(trial: Trial) -> None:
    from diffkit.core.errors import DiffkitError
    from diffkit.run.checkpoint import plain, verify

    for name, value in OBJECTS.items():
        expect(name in refusal(plain, {"callbacks": {"Mine": [1, value]}}), f"a {name} is not named")
    name, late = trial.pick(list(OBJECTS)), trial.number % 3 == 2
    with pytest.MonkeyPatch.context() as patch:
        where = _given(patch, ("a callback", "a task", "data")[trial.number % 3], OBJECTS[name], 3 if late else 0)
        try:
            trained("out=run", cwd=trial.folder)
        except DiffkitError as error:
            said = f"{where}.mine[1]"
            expect(error.status == 2 and said in str(error) and name in str(error), f"{name}: {error}")
        else:
            raise Fault(f"a {name} was saved")
    kept = trial.folder / "run" / "checkpoints" / "last.ckpt"
    expect(verify(kept) == 2 if late else not kept.exists(), "the checkpoint before it is not what is there")


def _given(patch: pytest.MonkeyPatch, whose: str, value: Any, call: int) -> str:
    """Put a value into somebody's state at this and each later call, and say where it then is."""
    from diffkit.run.callbacks import Figures
    from diffkit.run.module import Task
    from diffkit.standard.data import MemoryData

    calls = 0

    def state() -> dict[str, Any]:
        nonlocal calls
        calls += 1
        return {"mine": [1, value]} if calls > call else {"mine": [1, 2]}

    if whose == "a callback":
        patch.setattr(Figures, "state_dict", lambda self: state())
        return "checkpoint.callbacks.Figures"
    if whose == "data":
        patch.setattr(MemoryData, "state_dict", lambda self: state())
        return "checkpoint.Moons"
    patch.setattr(Task, "on_save_checkpoint", lambda self, checkpoint: checkpoint.update(extra=state()))
    return "checkpoint.extra"


@mutation("a state is saved as it is", "C5", said="was saved")
def saved_as_it_is(patch):  # type: ignore[no-untyped-def]
    from diffkit.run import checkpoint

    given = checkpoint.plain

    def plain(value, where="checkpoint"):  # type: ignore[no-untyped-def]
        return value if isinstance(value, dict) and "state_dict" in value else given(value, where)

    patch.setattr(checkpoint, "plain", plain)


VERSIONS = {"missing": "", "older": "1.1", "newer": "1.3", "of another generation": "2.0"}


@row(
    "C3",
    fault="a plugin that made a run is missing, older, newer",
    required="missing, older or of another generation: exit 2 with both versions and what to install; newer: a warning;"
    " the weights can be exported",
    bare="not measured",
    full=12,
    small=4,
)
def other_plugins(trial: Trial) -> None:
    from diffkit.compose.recorded import require
    from diffkit.compose.registry import registry
    from diffkit.core.errors import DiffkitError

    which = trial.pick(list(VERSIONS))
    with found(trial.folder / "site"):
        kinds = list(registry().kinds)
        registry.cache_clear()
        (trial.folder / "site").mkdir()
        if VERSIONS[which]:
            offer = entry(*(f"{kind}=thing=nowhere:Thing" for kind in kinds))
            write(trial.folder / "site", "one", offer, version=VERSIONS[which])
        for kind in kinds:
            with warnings.catch_warnings(record=True) as heard:
                warnings.simplefilter("always")
                try:
                    require(_made_with(kind, "one"), [kind])
                except DiffkitError as error:
                    _told(str(error), which, kind)
                else:
                    expect(which == "newer", f"{kind} of a plugin that is {which} was taken")
                    said = " ".join(str(w.message) for w in heard)
                    expect("one 1.2" in said and "one 1.3" in said, f"{kind}: no warning: {said}")
        both = _made_with("sampler", "one") | {"grid": {"_part_": "thing"}}
        both["diffkit"]["plugins"] |= _made_with("grid", "two")["diffkit"]["plugins"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            told = refusal(require, both, ["sampler", "grid"])
        expect("two==1.2" in told, f"two is not named: {told}")
        expect(which == "newer" or "one==1.2" in told, f"one is not named: {told}")
        _exported(trial.folder)


def _made_with(kind: str, distribution: str) -> dict[str, Any]:
    """A config that has a part of a plugin of version 1.2."""
    from diffkit.compose.registry import registry

    place = f"{kind}.thing" if registry().kind(kind).many else kind
    made = {"distribution": distribution, "version": "1.2", "sha256": None, "uses": {place: f"{kind}=thing"}}
    node: dict[str, Any] = {"_part_": "thing"}
    return {kind: {"thing": node} if "." in place else node, "diffkit": {"plugins": {distribution: made}}}


def _told(said: str, which: str, kind: str) -> None:
    expect(which != "newer", f"a newer one is refused: {said}")
    for word in (f"{kind} 'thing'", "one 1.2", VERSIONS[which] or "not installed", 'pip install "one==1.2"'):
        expect(word in said, f"{which}: {word!r} is not in: {said}")


def _exported(here: Path) -> None:
    """The weights of a run whose plugin is not there, from its checkpoint and its bundle, are those of its bundle."""
    from diffkit.compose.plain import read_yaml
    from diffkit.run import bundle, export
    from diffkit.run.folder import write_yaml

    made = shutil.copytree(folder() / "run", here / "run")
    for file in (made / "config.yaml", made / "bundle" / "config.yaml"):
        config = read_yaml(file)
        config["diffkit"]["plugins"] |= _made_with("denoiser", "three")["diffkit"]["plugins"]
        config["denoiser"]["_part_"] = "thing"
        write_yaml(file, config)
    expect("three==1.2" in refusal(bundle.load, made), "three is not named")
    from safetensors.torch import load_file

    wanted = load_file(made / "bundle" / "model.safetensors")
    for number, place in enumerate((made, made / "bundle", made / "checkpoints" / "last.ckpt")):
        export.command([str(place), f"out={here / f'{number}.safetensors'}"])
        given = load_file(here / f"{number}.safetensors")
        expect(given.keys() == wanted.keys(), f"{place.name}: {given.keys() ^ wanted.keys()}")
        expect(all(torch.equal(a, wanted[name]) for name, a in given.items()), f"{place.name}: other weights")
    again = refusal(export.command, [str(made), f"out={here / '0.safetensors'}"])
    expect("exists" in again, f"a file is written over: {again}")


@mutation("whichever version of a plugin is here is taken", "C3", said="was taken")
def any_version(patch):  # type: ignore[no-untyped-def]
    from diffkit.compose import recorded

    patch.setattr(recorded, "_hold_against", lambda made, plugin, kind, name: None)
