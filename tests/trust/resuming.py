"""Runs that are resumed learn what one that was never stopped does."""

import atexit
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from itertools import islice
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import torch

from trust.command import diffkit, tiny
from trust.components import pictures, runs
from trust.mutation import mutation
from trust.row import Trial, expect, row
from trust.trained import Cut, Log, differing, in_pieces, learned, trained, watched

RUNS = 40
"""At most so many runs have every part among them."""
ROWS, BATCH = 80, 32
"""An epoch ends within a batch."""
SHORT = ("data.rows=80", "data.held_out=8", "trainer.max_steps=10")


@row(
    "X1",
    fault="resume at any step: after the first, within an epoch, at its end, before the last",
    required="weights, average, optimizer, step, order and noise are bit-equal to those of an uninterrupted run",
    bare="0/5 equal, 0/61 batches",
    full=RUNS,
    small=1,
)
def any_step(trial: Trial) -> None:
    found = _run(trial.number)
    if found is None:
        return
    choice, nodes = found
    more = [
        "samples=2", "preview_every=3", "callbacks=[figures,saving,snapshots]", "callbacks.snapshots.every=3",
        "trainer.val_check_interval=4", "+trainer.limit_val_batches=1",
        f"trainer.precision={trial.pick(['auto', '32-true'])}",
        f"trainer.accumulate_grad_batches={1 + (trial.number % 4 == 3)}",
    ]  # fmt: skip
    with watched() as log:
        whole = trained("out=whole", *more, cwd=trial.folder, parts=nodes)
    parts, seen = in_pieces([1, 2, 3, 7], *more, cwd=trial.folder, parts=nodes)
    _equal(whole, log, parts, seen, " ".join(f"{kind}={name}" for kind, name in choice.items() if name))


def _equal(whole: Path, log: Log, parts: Path, seen: Log, what: str) -> None:
    others = sorted(batch for batch in log.seen if log.seen[batch] != seen.seen.get(batch)) or seen.twice
    expect(not others, f"batches {others[:9]} have other rows or noise: {what}")
    places = differing(learned(whole), learned(parts))
    expect(not places, f"{len(places)} differ: {sorted(places)[:5]}: {what}")


@row(
    "X2",
    fault="five kills at random moments of one run",
    required="the final bytes of no kill: checkpoint, bundle, samples",
    bare="not measured",
    full=20,
    small=1,
)
def killed_often(trial: Trial) -> None:
    moments = sorted(trial.random.sample(range(1, 10), 5))
    more = (*SHORT, "samples=2", "callbacks.saving.every=3")
    with watched() as log:
        whole = trained("out=whole", *more, cwd=trial.folder)
    if trial.number % 5 < 4:
        parts, seen = in_pieces(moments, "resume=auto", *more, cwd=trial.folder)
        _equal(whole, log, parts, seen, f"stopped in updates {moments}")
        return
    for moment in [*moments, None]:
        inject = [] if moment is None else [f"trust.resuming:kill_in {moment}"]
        done = diffkit("train", *tiny(*more), "resume=auto", "out=parts", cwd=trial.folder, inject=inject)
        wanted = 0 if moment is None else -signal.SIGKILL
        expect(done.returncode == wanted, f"status {done.returncode}: {done.stderr[-600:]}")
    places = differing(learned(whole), learned(trial.folder / "parts"))
    expect(not places, f"{len(places)} differ: {sorted(places)[:5]}: killed in updates {moments}")


def kill_in(patch, update: str) -> None:  # type: ignore[no-untyped-def]
    """End the process in the middle of this update, if it is one that it makes."""
    from diffkit.run.module import Task

    step = Task.training_step

    def training_step(task, *batch):  # type: ignore[no-untyped-def]
        loss = step(task, *batch)
        if task.updates >= int(update):
            os.kill(os.getpid(), signal.SIGKILL)
        return loss

    patch.setattr(Task, "training_step", training_step)


@row(
    "X3",
    fault="stops within epochs",
    required="each sample once in an epoch, whatever the cuts, on one device or two",
    bare="18 to 24 of 64 twice",
    full=20,
    small=1,
)
def once_in_an_epoch(trial: Trial) -> None:
    cuts = sorted(trial.random.sample(range(1, 10), 3))
    if trial.number % 5 < 4:
        _, seen = in_pieces(cuts, *SHORT, cwd=trial.folder)
        batches = [seen.rows[number] for number in sorted(seen.rows)]
    else:
        batches = _on_two_devices(trial.folder, cuts)
    ids = [bytes(row.numpy().tobytes()) for batch in batches for row in batch]
    expect(len(ids) == 10 * BATCH, f"{len(ids)} rows in 10 batches")
    for epoch in range(len(ids) // ROWS):
        once = set(ids[epoch * ROWS : (epoch + 1) * ROWS])
        expect(len(once) == ROWS, f"{len(once)} of {ROWS} rows were seen in epoch {epoch + 1}, cut after {cuts}")


def _on_two_devices(folder: Path, cuts: list[int]) -> list[torch.Tensor]:
    """The rows of each batch of a run on two devices, which is stopped after these updates and resumed."""
    devices = ("trainer.accelerator=cpu", "trainer.devices=2", "trainer.strategy=ddp")
    for number, cut in enumerate([*cuts, 10]):
        how = ["resume=parts"] if number else [*tiny(*SHORT, *devices), "out=parts"]
        inject = [f"trust.resuming:write_rows {folder}"] + [f"trust.resuming:stop_after {cut}"] * (cut < 10)
        done = diffkit("train", *how, cwd=folder, inject=inject)
        wanted = 0 if cut == 10 else 128 + signal.SIGTERM
        expect(done.returncode == wanted, f"status {done.returncode}: {done.stderr[-600:]}")
    shares = [[torch.load(folder / f"{number}-{rank}.rows") for rank in (0, 1)] for number in range(10)]
    return [torch.stack(share, 1).flatten(0, 1) for share in shares]


def write_rows(patch, folder: str) -> None:  # type: ignore[no-untyped-def]
    """Have every device write the rows of each of its batches."""
    from diffkit.run.module import Task

    step = Task.training_step

    def training_step(task, batch, number):  # type: ignore[no-untyped-def]
        torch.save(batch["x"].clone(), Path(folder, f"{task.batches}-{task.global_rank}.rows"))
        return step(task, batch, number)

    patch.setattr(Task, "training_step", training_step)


def stop_after(patch, update: str) -> None:  # type: ignore[no-untyped-def]
    """Ask the run to stop in this update."""
    from diffkit.run.module import Task

    step = Task.training_step

    def training_step(task, *batch):  # type: ignore[no-untyped-def]
        if task.updates == int(update) - 1 and task.global_rank == 0:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(task, *batch)

    patch.setattr(Task, "training_step", training_step)


@row(
    "X4",
    fault="resumed with another number of workers, or of devices",
    required="the same samples in the same order; bit-equal for workers, within 1e-6 for devices",
    bare="not measured",
    full=12,
    small=1,
)
def other_machines(trial: Trial) -> None:
    if trial.number % 4 == 3:
        _other_devices(trial)
        return
    node = {**pictures(trial.folder), "_part_": "image_folder", "resolution": 8, "flip": True, "batch_size": 2}
    more, parts = (*SHORT[2:], "denoiser.embedding=8"), {"data": {**node, "workers": 0}}
    with watched() as log:
        whole = trained("out=whole", *more, cwd=trial.folder, parts=parts)
    before, after = trial.pick([(0, 2), (4, 1), (2, 4)])
    with watched(4) as seen, suppress(Cut):
        trained("out=parts", *more, cwd=trial.folder, parts={"data": {**node, "workers": before}})
    how = ("resume=parts", "data=image_folder", f"data.folder={node['folder']}", "data.resolution=8", "data.flip=true")
    more = ("data.batch_size=2", f"data.held_out={node['held_out']}", f"data.workers={after}")
    with watched() as rest:
        trained(*how, *more, cwd=trial.folder)
    seen.seen |= rest.seen
    _equal(whole, log, trial.folder / "parts", seen, f"{before}, then {after} workers")


def _other_devices(trial: Trial) -> None:
    more = (*SHORT, "trainer.precision=32-true", "trainer.accelerator=cpu")
    with watched() as log:
        whole = learned(trained("out=whole", *more, cwd=trial.folder))
    cut = trial.random.randrange(1, 10)
    with watched(cut) as seen, suppress(Cut):
        trained("out=parts", *more, cwd=trial.folder)
    two = ("trainer.devices=2", "trainer.strategy=ddp")
    inject = [f"trust.resuming:write_rows {trial.folder}"]
    done = diffkit("train", "resume=parts", *two, cwd=trial.folder, inject=inject)
    expect(done.returncode == 0, f"status {done.returncode}: {done.stderr[-600:]}")
    for number in range(cut, 10):
        share = [torch.load(trial.folder / f"{number}-{rank}.rows") for rank in (0, 1)]
        same = torch.equal(torch.stack(share, 1).flatten(0, 1), log.rows[number])
        expect(same and len(seen.seen) == cut, f"batch {number} has other rows on two devices")
    for name, value in learned(trial.folder / "parts")["state_dict"].items():
        off = float((value - whole["state_dict"][name]).norm() / whole["state_dict"][name].norm().clamp(min=1e-12))
        trial.figure("largest relative difference between one device and two", off)
        expect(off <= 1e-6, f"{name} is {off:.1e} off")


@mutation("the average moves after the checkpoint", "X1", said="differ: ")
def late_average(patch):  # type: ignore[no-untyped-def]
    from diffkit.run.module import Task

    update, step = Task.optimizer_step, Task.training_step

    def optimizer_step(task, *arguments):  # type: ignore[no-untyped-def]
        update(task, *arguments)
        task._late = [a.clone() for a in task._averages[0]]
        torch._foreach_copy_(task._averages[0], task._before)

    def training_step(task, *batch):  # type: ignore[no-untyped-def]
        if task.batches and "_late" in vars(task):
            torch._foreach_copy_(task._averages[0], task._late)
        task._before = [a.clone() for a in task._averages[0]]
        return step(task, *batch)

    patch.setattr(Task, "optimizer_step", optimizer_step)
    patch.setattr(Task, "training_step", training_step)


@mutation("noise is of the global generator", "X2", said="other rows or noise")
def hidden_generator(patch):  # type: ignore[no-untyped-def]
    from diffkit.run import module

    patch.setattr(module, "key", lambda *words: int(torch.randint(2**31, ()).item()))


@mutation("the order of the rows begins anew where a run is resumed", "X3", said="rows were seen in epoch")
def order_afresh(patch):  # type: ignore[no-untyped-def]
    from diffkit.standard.data import memory

    order = memory.order
    patch.setattr(memory, "order", lambda seed, rows, size, start: order(seed, rows, size, 0))


@mutation("a worker's number seeds what it changes", "X4", said="other rows or noise")
def numbered_workers(patch):  # type: ignore[no-untyped-def]
    from torch.utils.data import get_worker_info

    from diffkit.standard.data import loaded

    generator = loaded.generator

    def seeded(*words):  # type: ignore[no-untyped-def]
        worker = get_worker_info()
        return generator(*words, worker.id if worker else -1) if words[0] == "augment" else generator(*words)

    patch.setattr(loaded, "generator", seeded)


_found: list[Any] = []
"""The runs that were found so far."""


@cache
def _search() -> Iterator[Any]:
    folder = Path(mkdtemp(prefix="diffkit-trust-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return runs(folder)


def _run(number: int) -> Any:
    """The run of this number, None if there are fewer; the last of all trials makes sure that there are no more."""
    _found.extend(islice(_search(), max(0, number + 1 - len(_found))))
    if number == RUNS - 1:
        expect(next(_search(), None) is None, f"{RUNS} runs do not have every part among them")
    return _found[number] if number < len(_found) else None
