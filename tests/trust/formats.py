"""Files of every format that was: they load, with the next losses and the samples that are kept beside them.

`python tests/trust/formats.py` makes those of the present format anew (in `formats/<number>/`).
"""

import json
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[1])  # modules beside this one have names of the standard library

import shutil
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest

from trust.mutation import mutation
from trust.row import Trial, expect, row
from trust.trained import trained

KEPT = Path(__file__).parent / "formats"
UPDATES, NEXT, SAMPLES = 4, 10, 4
SMALL = (
    "trainer.precision=32-true", "trainer.accelerator=cpu", f"trainer.max_steps={UPDATES}", "task.decay=constant",
    "callbacks.saving.every=4",
)  # fmt: skip
RUNS: dict[str, dict[str, Any]] = {
    "mlp": {"data": {"_part_": "moons", "rows": 80, "held_out": 8, "batch_size": 32}},
    "unet": {
        "data": {"_part_": "digits", "batch_size": 8},
        "denoiser": {
            "_part_": "unet", "width": 4, "multipliers": [1], "blocks": 1, "middle": 1, "heads": 1, "embedding": 4
        },
        "conditioner": {},
        "guidance": {},
    },
}  # fmt: skip
CLOSE = 1e-5
"""Relative; machines round otherwise."""


def make(folder: Path) -> None:
    """Begin each run, keep it as it is after some updates, and what it does and draws then."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, parts in RUNS.items():
        with TemporaryDirectory() as scratch:
            cwd, kept = Path(scratch), folder / name
            trained(*SMALL, "out=whole", cwd=cwd, parts=parts)
            for part in ("config.yaml", "checkpoints/last.ckpt", "bundle/config.yaml", "bundle/model.safetensors"):
                (kept / part).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(cwd / "whole" / part, kept / part)
            (kept / "losses.json").write_text(json.dumps(_losses(kept, cwd)) + "\n")
            np.save(kept / "samples.npy", _samples(kept))


def _losses(kept: Path, cwd: Path) -> list[float]:
    """The losses of the updates that follow, of a copy."""
    from diffkit.run.module import Task

    step, losses = Task.training_step, list[float]()

    def training_step(task: Any, *batch: Any) -> Any:
        loss = step(task, *batch)
        losses.append(float(loss.detach()))
        return loss

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Task, "training_step", training_step)
        trained(f"resume={shutil.copytree(kept, cwd / 'copy')}", f"trainer.max_steps={UPDATES + NEXT}", cwd=cwd)
    return losses


def _samples(kept: Path) -> Any:
    from diffkit import load

    return load(kept / "bundle").sample(n=SAMPLES, seed=0).x.numpy()


def kept() -> list[Path]:
    """The folder of each run of each format."""
    return sorted(path.parent for path in KEPT.glob("*/*/losses.json"))


@row(
    "X5",
    fault="a run, a checkpoint and a bundle of every earlier format",
    required="they load, with the next ten losses and the samples that are kept with them; a later format is refused",
    bare="not measured",
    full=len(kept()),
    small=1,
)
def earlier_formats(trial: Trial) -> None:
    folder = trial.pick(kept())
    losses = json.loads((folder / "losses.json").read_text())
    again = _losses(folder, trial.folder)
    expect(len(again) == NEXT and np.allclose(again, losses, CLOSE, 0), f"losses {again[:3]}, not {losses[:3]}")
    samples = np.load(folder / "samples.npy")
    expect(np.allclose(_samples(folder), samples, CLOSE, CLOSE * np.abs(samples).max()), "the samples are others")
    _refuses_later(shutil.copytree(folder, trial.folder / "later"))


def _refuses_later(run: Path) -> None:
    """Each file with a higher number is refused in a sentence that names it."""
    from diffkit import DiffkitError, load
    from diffkit.run.checkpoint import Checkpoints
    from diffkit.run.status import Status, read

    def later_config(file: Path) -> None:
        text = file.read_text().partition("\n")[2]
        file.write_text(text.replace("\n  format: 1\n", "\n  format: 2\n"))

    def later_checkpoint(file: Path) -> None:
        content = Checkpoints().load_checkpoint(file)
        Checkpoints().save_checkpoint({**content, "diffkit": {**content["diffkit"], "format": 2}}, file)

    def later_status(file: Path) -> None:
        Status("stopped").write(run)
        file.write_text(file.read_text().replace('"format": 1', '"format": 2'))

    for part, change, use in (
        ("status.json", later_status, lambda: read(run)),
        ("checkpoints/last.ckpt", later_checkpoint, lambda: trained(f"resume={run}", "trainer.max_steps=5", cwd=run)),
        ("bundle/config.yaml", later_config, lambda: load(run / "bundle")),
        ("config.yaml", later_config, lambda: trained(f"resume={run}", "trainer.max_steps=5", cwd=run)),
    ):
        change(run / part)
        try:
            use()
        except DiffkitError as error:
            said = str(error)
            expect(part in said and "has format 2, made by a newer diffkit" in said, f"{part}: {said}")
        else:
            expect(False, f"{part} of format 2 was used")
        (run / "status.json").unlink(missing_ok=True)


@mutation("nobody looks at the numbers of formats", "X5", said="of format 2 was used")
def any_format(patch):  # type: ignore[no-untyped-def]
    from diffkit.compose import plain
    from diffkit.run import resume, status

    for module in (plain, resume, status):
        patch.setattr(module, "refuse_newer", lambda *_: None)


if __name__ == "__main__":
    make(KEPT / "1")
