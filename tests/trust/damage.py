"""Files that were damaged, or are other ones than they should be: nothing silently wrong is read of them."""

import shutil
from pathlib import Path
from random import Random
from typing import Any

import pytest
from torch import nn

from trust._formats import FORMATS, REFUSED, Format, folder
from trust.mutation import mutation
from trust.row import Fault, Trial, expect, row
from trust.trained import differing, trained


@row(
    "C1",
    fault="a file cut at a random byte, empty, or text",
    required="exit 2 naming it, or made anew; resume= takes the checkpoint before and says so",
    bare="an error of the library's, no fallback",
    full=210,
    small=15,
)
def cut_short(trial: Trial) -> None:
    form, made = trial.pick(FORMATS), trial.folder / "made"
    shutil.copytree(folder(), made)
    whole, before = form.path(made).read_bytes(), form.read(made)
    for content in (whole[: trial.random.randrange(1, len(whole))], b"", b"some text that is none\n" * 9):
        form.path(made).write_bytes(content)
        found = form.found(made)
        if form.lines and found is not REFUSED:
            expect(found == before[: len(found)], f"{form.name}: {found} of {before}")
        else:
            expect(found is REFUSED or not differing(before, found), f"{form.name}: {len(content)} bytes were read")
        if form is FORMATS[0]:
            _passed_over(form, made, trial.number == 0 and not content)
        form.path(made).parent.mkdir(exist_ok=True)
        form.path(made).write_bytes(whole)


def _passed_over(form: Format, made: Path, through: bool) -> None:
    """The checkpoint before is taken, `through` by going on from it; where none is left, all are named."""
    from diffkit.core.errors import DiffkitError
    from diffkit.run.checkpoint import newest

    run = made / "run"
    found = newest(run / "checkpoints")
    expect((found.path.name, found.step) == ("previous.ckpt", 3), f"{found.path.name} of step {found.step} was taken")
    expect("last.ckpt" in " ".join(found.damaged), "it is not said that last.ckpt was passed over")
    if through:
        again = shutil.copytree(run, made / "again")
        trained(f"resume={again}", cwd=made)
        expect(newest(again / "checkpoints").step == 4, "the run did not go on from the checkpoint before")
    others = run / "checkpoints" / "previous.ckpt"
    kept = others.read_bytes()
    others.write_bytes(form.path(made).read_bytes())
    try:
        trained(f"resume={run}", cwd=made)
    except DiffkitError as error:
        expect(error.status == 2 and "last.ckpt" in str(error) and others.name in str(error), str(error))
    else:
        raise Fault("a run went on from a damaged checkpoint")
    others.write_bytes(kept)


@row(
    "C2",
    fault="one bit flipped; 4 KB zeroed",
    required="noticed by a digest, always",
    bare="397/400 silent",
    full=440,
    small=11,
)
def flipped(trial: Trial) -> None:
    form, made = trial.pick([form for form in FORMATS if form.sealed]), trial.folder / "made"
    shutil.copytree(folder(), made)
    whole, before = form.path(made).read_bytes(), form.read(made)
    for number in range(26):
        content = bytearray(whole)
        place = trial.random.randrange(len(whole))
        if number:
            content[place] ^= 1 << trial.random.randrange(8)
        else:
            content[place : place + 4096] = bytes(len(content[place : place + 4096]))
        path = form.path(made)
        path.write_bytes(content)
        found = form.found(made)
        expect(found is REFUSED or not differing(before, found), f"{path.name}, byte {place}: silently another")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(whole)


@mutation("a file is not held against its digest", "C1", "C2", said="last.ckpt")
def no_digest(patch):  # type: ignore[no-untyped-def]
    from diffkit.run import checkpoint

    patch.setattr(checkpoint, "verify", lambda path: checkpoint.step_of(path))


Tensors = dict[str, Any]


def _missing(state: Tensors, name: str, draw: Random) -> str:
    del state[name]
    return f"missing {name}"


def _extra(state: Tensors, name: str, draw: Random) -> str:
    state["more"] = state[name].clone()
    return "unknown more"


def _shape(state: Tensors, name: str, draw: Random) -> str:
    a = state[name]
    state[name] = a.new_zeros((*a.shape, 2))
    return f"{name}: float32 {[*a.shape, 2]} for float32 {list(a.shape)}"


def _dtype(state: Tensors, name: str, draw: Random) -> str:
    a = state[name]
    state[name] = a.half()
    return f"{name}: float16 {list(a.shape)} for float32 {list(a.shape)}"


CHANGES = (_missing, _extra, _shape, _dtype)


@row(
    "C4",
    fault="tensors missing, extra, of another shape or dtype: a bundle's, a checkpoint's, its optimizer's",
    required="exit 2 with names and both shapes; nothing is loaded",
    bare="not measured",
    full=48,
    small=6,
)
def other_tensors(trial: Trial) -> None:
    from diffkit.core.errors import DiffkitError

    made = shutil.copytree(folder(), trial.folder / "made")
    change, kind = trial.pick(CHANGES), trial.pick((_bundle, _weights, _optimizer))
    loaded: list[object] = []
    with pytest.MonkeyPatch.context() as patch:
        wanted = kind(made, change, trial.random)
        load = nn.Module.load_state_dict
        patch.setattr(nn.Module, "load_state_dict", lambda self, *a, **b: loaded.append(self) or load(self, *a, **b))
        try:
            _open(made / "run", kind is _bundle)
        except DiffkitError as error:
            expect(error.status == 2 and wanted in str(error), f"{wanted!r} is not in: {error}")
        else:
            raise Fault(f"{kind.__name__} {wanted}: it was loaded")
    expect(not loaded, "something was loaded before it was refused")


def _open(run: Path, alone: bool) -> None:
    from diffkit.run import bundle

    if alone:
        bundle.load(run)
    else:
        trained(f"resume={run}", "trainer.max_steps=5", cwd=run)


def _bundle(made: Path, change: Any, draw: Random) -> str:
    from hashlib import sha256

    from safetensors.torch import load_file, save

    from diffkit.compose.plain import read_yaml
    from diffkit.run.folder import write_yaml

    place = made / "run" / "bundle"
    state = load_file(place / "model.safetensors")
    wanted = str(change(state, draw.choice(sorted(state)), draw))
    content = save(state)
    (place / "model.safetensors").write_bytes(content)
    config = read_yaml(place / "config.yaml")
    config["diffkit"]["sha256"] = sha256(content).hexdigest()
    write_yaml(place / "config.yaml", config)
    return wanted


def _weights(made: Path, change: Any, draw: Random) -> str:
    def edit(content: dict[str, Any]) -> str:
        state = content["state_dict"]
        return str(change(state, draw.choice([name for name in state if state[name].ndim]), draw))

    return _resaved(made, edit)


def _optimizer(made: Path, change: Any, draw: Random) -> str:
    """Of the second moments; one that is missing or more is a parameter without, or one too many."""

    def edit(content: dict[str, Any]) -> str:
        group, state = (content["optimizer_states"][0][key] for key in ("param_groups", "state"))
        count = len(group[0]["params"])
        if change in (_missing, _extra):
            group[0]["params"] = group[0]["params"][:-1] if change is _missing else [*group[0]["params"], count]
            return f"is of {len(group[0]['params'])} parameters for {count}"
        number = draw.choice(sorted(state))
        named = {f"exp_avg_sq of {number}": state[number]["exp_avg_sq"]}
        wanted = str(change(named, f"exp_avg_sq of {number}", draw))
        state[number]["exp_avg_sq"] = named[f"exp_avg_sq of {number}"]
        return wanted

    return _resaved(made, edit)


def _resaved(made: Path, edit: Any) -> str:
    from diffkit.run.checkpoint import Checkpoints, read

    path = made / "run" / "checkpoints" / "last.ckpt"
    content = read(path)
    wanted = str(edit(content))
    Checkpoints().save_checkpoint(content, path)
    return wanted


@mutation("tensors are loaded where their names fit, as by strict=False", "C4", said="was loaded")
def loosely(patch):  # type: ignore[no-untyped-def]
    from diffkit.run import bundle

    load = nn.Module.load_state_dict

    def fitting(self, state, strict=True, assign=False):  # type: ignore[no-untyped-def]
        return load(self, state, strict=False, assign=assign)

    patch.setattr(bundle, "misfits", lambda wanted, given: "")
    patch.setattr(nn.Module, "load_state_dict", fitting)
