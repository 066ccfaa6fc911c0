"""Small runs in this process: begun, cut short, resumed, and compared to the last bit."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch

from trust.command import tiny


class Cut(Exception):
    """What ends a run at once, as a crash does."""


@dataclass
class Log:
    """What a run saw: a digest of rows, times, noise and kept conditions for each batch, by its number."""

    seen: dict[int, str] = field(default_factory=dict)
    twice: list[int] = field(default_factory=list)
    """Batches that were seen again, and were others then."""
    rows: dict[int, Any] = field(default_factory=dict)
    """The rows of each batch."""


@cache
def composed(overrides: tuple[str, ...]) -> dict[str, Any]:
    """The config of a training run, as plain values."""
    from omegaconf import OmegaConf

    from diffkit import compose

    made: dict[str, Any] = OmegaConf.to_container(compose(overrides))  # type: ignore[assignment]
    return made


def trained(*overrides: str, cwd: Path, parts: Mapping[str, Any] | None = None) -> Path:
    """Train a tiny run in this folder, or resume one with `resume=`; gives the run's folder.

    `parts` are nodes of the config in the place of the composed ones, for a run that begins.
    """
    from omegaconf import OmegaConf

    from diffkit.run.train import train

    again = any(o.startswith("resume=") and o != "resume=auto" for o in overrides)
    given = overrides if again else tuple(tiny(*overrides))
    before = Path.cwd()
    os.chdir(cwd)
    try:
        with redirect_stdout(StringIO()):
            return (cwd / train(OmegaConf.create({**composed(given), **(parts or {})}), given)).absolute()
    finally:
        os.chdir(before)


@contextmanager
def watched(cut: int | None = None) -> Iterator[Log]:
    """Within it runs tell what they see; one is cut short when so many updates are made (and saved)."""
    from diffkit.run.module import Task

    log, step, draw = Log(), Task.training_step, Task.draw

    def training_step(task: Any, batch: Any, number: int) -> Any:
        if task.updates == cut and task.settled:
            raise Cut
        log.rows[task.batches] = batch["x"]
        return step(task, batch, number)

    def drawn(task: Any, rows: int) -> Any:
        tensors = draw(task, rows)
        whole = [log.rows[task.batches], *tensors]
        digest = sha256(b"".join(a.detach().cpu().contiguous().numpy().tobytes() for a in whole)).hexdigest()
        if log.seen.setdefault(task.batches, digest) != digest:
            log.twice.append(task.batches)
        return tensors

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Task, "training_step", training_step)
        patch.setattr(Task, "draw", drawn)
        yield log


def in_pieces(cuts: list[int], *overrides: str, cwd: Path, parts: Mapping[str, Any] | None = None) -> tuple[Path, Log]:
    """A run that is cut short after these numbers of updates, and resumed each time; and what it saw.

    With `resume=auto` the same overrides begin it and resume it.
    """
    name, total = "parts", Log()
    for number, cut in enumerate([*cuts, None]):
        with watched(cut) as log:
            begin = number == 0 or "resume=auto" in overrides
            how = [f"out={name}", *overrides] if begin else [f"resume={name}"]
            try:
                trained(*how, cwd=cwd, parts=parts if begin else None)
            except Cut:
                pass
            else:
                assert cut is None, f"there was no update {cut}"
        total.twice += [b for b, digest in log.seen.items() if total.seen.setdefault(b, digest) != digest]
        total.rows |= log.rows
    return cwd / name, total


def state(folder: Path) -> dict[str, Any]:
    """The newest checkpoint of a run."""
    from diffkit.run.checkpoint import Checkpoints, newest

    return Checkpoints().load_checkpoint(newest(folder / "checkpoints").path)


def learned(folder: Path) -> dict[str, Any]:
    """All that a run has learned: its checkpoint's content, and the bytes of what else it wrote."""
    content = state(folder)
    kept = {
        key: content.get(key) for key in ("state_dict", "optimizer_states", "lr_schedulers", "diffkit", "callbacks")
    }
    files = [*folder.glob("bundle/*.safetensors"), *folder.glob("snapshots/*"), *folder.glob("samples/*.npz")]
    return {**kept, **{str(f.relative_to(folder)): f.read_bytes() for f in files}, "step": content["global_step"]}


def differing(a: Any, b: Any, where: str = "") -> list[str]:
    """The places in which two states differ by as much as a bit."""
    if isinstance(a, torch.Tensor):
        return [] if isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b) else [where]
    if isinstance(a, dict) and isinstance(b, dict):
        return [w for k in a.keys() | b.keys() for w in differing(a.get(k), b.get(k), f"{where}.{k}")]
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)) and len(a) == len(b):
        return [w for i, (c, d) in enumerate(zip(a, b, strict=True)) for w in differing(c, d, f"{where}[{i}]")]
    return [] if a == b else [where]
