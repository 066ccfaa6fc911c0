"""A loss, gradients or an average that are not finite."""

from contextlib import chdir
from pathlib import Path
from re import search

import torch

from trust._here import run
from trust.command import diffkit, tiny
from trust.devices import CHOICES as DEVICES
from trust.mutation import mutation
from trust.row import Trial, expect, row

SPOILED = ["loss", "gradient", "average", "row", "patience", "later", "rank"]


@row(
    "R6",
    fault="loss, gradient, average or a row of the data is NaN or infinite, also on one of two devices",
    required="stop in <= patience updates, exit 3, step, loss and rows named; non-finite weights never written; last"
    " good checkpoint kept",
    bare="exit 0, no warning, NaN saved",
    full=28,
    small=6,
)
def not_finite(trial: Trial) -> None:
    what = trial.pick(SPOILED)
    update = trial.random.randrange(1, 8)
    with chdir(trial.folder):
        inject = f"trust.not_finite:spoiled {what} {update}"
        if what == "rank":
            forked = "trust.devices:forked"
            done = diffkit("train", *tiny(*DEVICES), cwd=trial.folder, inject=[inject, forked])
            status, said = done.returncode, done.stderr
            expect("rank 1 failed: the loss is nan" in said, said[-1500:])
        else:
            more = {"patience": ["patience=2"], "later": ["callbacks.saving.every=100", "trainer.max_steps=30"]}.get(
                what, []
            )
            status, said = run("out=run", *more, inject=inject)
        expect(status == 3, f"status {status}, not 3: {said[-1500:]}")
        _check_words(what, update, said)
        _check_saved(what, update)


def _check_words(what: str, update: int, said: str) -> None:
    """The step, the loss, and the rows if they are to blame."""
    found = search(r"the loss is (\S+) at step (\d+)", said)
    expect(found, f"no loss and step: {said}")
    assert found
    loss, step = found[1], int(found[2])
    first, last = _when(what, update)
    expect(first <= step <= last, f"step {step}, not {last}: {said}")
    expect((loss == "nan") == (what in ("loss", "row", "patience", "rank")), said)
    if what == "row":
        place = _rows(update)[3]
        expect(f"of row {place} of the data (batch {update - 1}), which has values that are NaN" in said, said)
    if what in ("gradient", "average", "later"):
        expect("the weights are not finite after update" in said, said)


def _when(what: str, update: int) -> tuple[int, int]:
    """The first and the last update after which the run may stop: what no save looks at is seen a part at a time."""
    from diffkit.run.finite import SHARES

    first = update + 1 if what == "patience" else update
    return first, first + SHARES if what == "later" else first


def _check_saved(what: str, update: int) -> None:
    """What is on disk is finite, and the last of what was good."""
    from diffkit.run.checkpoint import Checkpoints, newest

    folder = Path("run", "checkpoints")
    last = _when(what, update)[0]
    every = {"rank": 2, "later": 100}.get(what, 1)
    good = (last - 1) // every * every
    files = list(folder.glob("*.ckpt"))
    for file in files:
        state = Checkpoints().load_checkpoint(file)["state_dict"]
        expect(all(t.isfinite().all() for t in state.values()), f"{file} is not finite")
    step = newest(folder).step if files else 0
    expect(step == good, f"the last checkpoint is of update {step}, not {good}")
    expect(not Path("run", "bundle").exists(), "a bundle was written")


def _rows(update: int) -> list[int]:
    """The rows of an update's batch."""
    from diffkit.core.data import order

    return next(order(0, _trained(), 32, update - 1)).tolist()  # type: ignore[no-any-return]


def _trained() -> int:
    from diffkit.compose.build import part

    return len(part("data", {"_part_": "moons"}, seed=0).read("train")["x"])


def spoiled(patch, what, update):  # type: ignore[no-untyped-def]
    """Something is not finite in the update of this number."""
    from diffkit.run.diffusion import DiffusionTask
    from diffkit.run.module import Task

    update, losses, step = int(update), DiffusionTask.losses, Task.optimizer_step

    def spoil(self, model, batch, *rest):  # type: ignore[no-untyped-def]
        now = self.updates + 1
        if what == "row" and now == update:
            batch["x"][3] = torch.nan
        values, logsnr = losses(self, model, batch, *rest)
        bad = (what == "loss" and now == update) or (what == "patience" and now >= update)
        if bad or (what == "rank" and now == update and self.global_rank == 1):
            values = values * torch.nan
        if what == "gradient" and now == update:
            values.register_hook(lambda gradient: gradient * torch.inf)
        return values, logsnr

    def stepped(self, *args, **kwargs):  # type: ignore[no-untyped-def]
        if what in ("average", "later") and self.updates + 1 == update:
            self._averages[0][0].fill_(torch.nan)
        step(self, *args, **kwargs)

    patch.setattr(DiffusionTask, "losses", spoil)
    patch.setattr(Task, "optimizer_step", stepped)


@mutation("losses, gradients and weights are not looked at", "R6", said="status 0, not 3")
def not_looked_at(patch):  # type: ignore[no-untyped-def]
    from diffkit.run.callbacks import saving
    from diffkit.run.finite import Finite

    patch.setattr(Finite, "batch", lambda *_: None)
    patch.setattr(Finite, "update", lambda *_: None)
    patch.setattr(saving, "check_weights", lambda task: None)


@mutation("weights are written as they are, and looked at afterwards", "R6", said="is not finite")
def written_first(patch):  # type: ignore[no-untyped-def]
    from diffkit.core.errors import RunFailed
    from diffkit.run.callbacks import Saving, saving
    from diffkit.run.finite import Finite

    real, check = Saving._save, saving.check_weights

    def save(self, trainer, task, name):  # type: ignore[no-untyped-def]
        real(self, trainer, task, name)
        try:
            check(task)
        except RunFailed as error:
            raise RunFailed(f"the weights are not finite: the loss is nan at step {task.batches} {error}") from error

    patch.setattr(Finite, "batch", lambda *_: None)
    patch.setattr(Finite, "update", lambda *_: None)
    patch.setattr(saving, "check_weights", lambda task: None)
    patch.setattr(Saving, "_save", save)
