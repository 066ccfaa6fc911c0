"""What a resumed run is asked to do otherwise than it was saved with."""

import atexit
import shutil
from functools import cache
from hashlib import sha256
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from trust.command import tiny
from trust.mutation import mutation
from trust.row import Fault, Trial, expect, row
from trust.trained import differing, learned, trained

CHANGES: tuple[tuple[str, str], ...] = (
    ("optimizer.weight_decay=0.5", "optimizer.weight_decay: 0.05 -> 0.5"),
    ("denoiser.width=16", "denoiser.width: 8 -> 16"),
    ("conditioner=[]", "conditioner.class: class -> (none)"),
    ("denoiser=unet", "denoiser: mlp -> unet"),
    ("seed=1", "seed: 0 -> 1"),
    ("data=rings", "data: moons -> rings"),
    ("data.batch_size=16", "data.batch_size: 32 -> 16"),
    ("data=moons data.batch_size=32 data.noise=0.2", "data.noise: 0.08 -> 0.2"),
    ("optimizer.lr=0.1", "optimizer.lr: 0.004 -> 0.1"),
    ("optimizer._target_=torch.optim.Adam", "optimizer: torch.optim.AdamW -> torch.optim.Adam"),
    ("+optimizer.amsgrad=true", "optimizer.amsgrad: (none) -> True"),
    ("optimizer.betas=[0.8,0.99]", "optimizer.betas: [0.9, 0.99] -> [0.8, 0.99]"),
    ("task.ema=0.1", "task.ema: 0.999 -> 0.1"),
    ("task.decay=constant", "task.decay: linear -> constant"),
    ("prediction=eps", "prediction: v -> eps"),
    ("schedule=linear", "schedule: cosine -> linear"),
    ("schedule.offset=0.1", "schedule.offset: 0.008 -> 0.1"),
    ("density=importance", "density: uniform -> importance"),
    ("weighting=snr", "weighting: unit -> snr"),
    ("trainer.precision=64-true", "trainer.precision: 32-true -> 64-true"),
    ("trainer.accumulate_grad_batches=2", "trainer.accumulate_grad_batches: 1 -> 2"),
    ("trainer.gradient_clip_val=0.01", "trainer.gradient_clip_val: (none) -> 0.01"),
    ("learn_variance=true", "learn_variance: False -> True"),
    ("condition_dropout=0.9", "condition_dropout: 0.1 -> 0.9"),
    ("experiment=iris", "data: moons -> iris; denoiser.width: 8 ->"),
)
"""Overrides, and how the change is told."""
UNFIT = {
    "denoiser.width": "does not fit", "conditioner": "does not fit", "denoiser": "could not be built",
    "data": "the data are not", 
    "optimizer._target_": "cannot be allowed", "optimizer.amsgrad": "cannot be allowed",
    "density": "does not fit", "learn_variance": "does not fit",
    "experiment": "the data are not",
}  # fmt: skip
"""Changes that a run cannot go on with even if they are allowed, and words of the refusal."""


@cache
def _begun() -> Path:
    """A run of two updates, that is to be copied."""
    folder = Path(mkdtemp(prefix="diffkit-trust-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return trained("out=begun", "trainer.max_steps=2", "trainer.precision=32-true", cwd=folder)


@cache
def _gone_on(*overrides: str) -> dict[str, Any]:
    """What that run has learned after a third update."""
    name = f"gone_on_{len(overrides)}"
    return learned(trained(*overrides, f"resume={_copy(_begun().parent, name)}", "trainer.max_steps=3", cwd=_begun()))


def _copy(folder: Path, name: str) -> Path:
    return shutil.copytree(_begun(), folder / name)


def _files(folder: Path) -> dict[str, str]:
    """The digests of what a run saved."""
    saved = [folder / "config.yaml", *folder.glob("checkpoints/*"), *folder.glob("bundle/*")]
    return {str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest() for path in saved}


def _refused(cwd: Path, *overrides: str) -> str:
    """What a run that must not go on says; none of its files changes."""
    from diffkit import DiffkitError

    before = _files(cwd / "a")
    try:
        trained("resume=a", "trainer.max_steps=3", *overrides, cwd=cwd)
    except DiffkitError as error:
        expect(error.status == 2, f"status {error.status}: {error}")
        expect(_files(cwd / "a") == before, f"files changed though it was refused: {error}")
        return str(error)
    raise Fault(f"went on with {overrides}")


@row(
    "X6",
    fault="config changed between save and resume",
    required="a list of the keys that differ, exit 2, unless each is safe or allowed; then it is heeded or refused",
    bare="not measured",
    full=len(CHANGES),
    small=2,
)
def changed(trial: Trial) -> None:
    overrides, told = trial.pick(CHANGES)
    override, key = overrides.split(), overrides.lstrip("+").partition("=")[0]
    _copy(trial.folder, "a")
    said = _refused(trial.folder, *override)
    expect(told in said and "--allow-change" in said, f"{told!r} is not in: {said}")

    said_anyway = [override for override in tiny() if not override.startswith("trainer.max_steps")]
    plain = _gone_on()
    expect(not differing(plain, _gone_on(*said_anyway)), "saying what is saved made it another run")

    everything = "data,conditioner,denoiser,task,optimizer"
    allowed = f"allow_change=[{everything if key == 'experiment' else told.partition(':')[0]}]"
    if key in UNFIT:
        said = _refused(trial.folder, *override, allowed)
        expect(UNFIT[key] in said, f"{UNFIT[key]!r} is not in: {said}")
        again = trained("resume=a", "trainer.max_steps=3", cwd=trial.folder)
        expect(not differing(plain, learned(again)), "a change that was refused did something")
    else:
        again = trained("resume=a", "trainer.max_steps=3", *override, allowed, cwd=trial.folder)
        expect(differing(plain, learned(again)), f"{overrides} was allowed, and changed nothing")
        expect(told in (again / "config.yaml").read_text(), "the run does not say that it was changed")


@mutation("what is asked for is not held against what was saved", "X6", said="went on with")
def changes_unseen(patch):  # type: ignore[no-untyped-def]
    from diffkit.run import resume

    patch.setattr(resume, "refuse", lambda *_: None)
