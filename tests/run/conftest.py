"""Tiny runs: two-dimensional points, an MLP of a few hundred weights, a few steps."""

from collections.abc import Callable
from pathlib import Path

import pytest

from diffkit import compose
from diffkit.run.train import train

TINY = (
    "data=moons",
    "data.batch_size=32",
    "conditioner=[class]",
    "conditioner.class.width=4",
    "denoiser=mlp",
    "denoiser.width=8",
    "denoiser.depth=1",
    "denoiser.embedding=8",
    "task.warmup=2",
    "grid.steps=2",
    "metric=[]",
    "samples=4",
    "preview_every=0",
    "trainer.max_steps=8",
    "trainer.val_check_interval=100",
    "logger=[csv]",
    "callbacks=[figures,saving]",
    "callbacks.figures.every=2",
    "callbacks.saving.every=3",
)

Run = Callable[..., Path]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Train a tiny model with more overrides, in a folder of the test's own; gives the run's folder."""
    monkeypatch.chdir(tmp_path)

    def start(*overrides: str) -> Path:
        given = [o.partition("=")[0] for o in overrides]
        own = "resume" in given and "resume=auto" not in overrides  # the choices are those of the run that goes on
        base = [] if own else [o for o in TINY if o.partition("=")[0] not in given]
        return train(compose([*base, *overrides]), overrides)

    return start
