"""Averages whose length is chosen after training: their weighting, their making, their keeping."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from numpy.polynomial.legendre import leggauss
from torch import Tensor

import diffkit
from diffkit import DiffkitError
from diffkit.run import train as training
from diffkit.run.checkpoint import Checkpoints, newest
from diffkit.run.evaluate import evaluate
from diffkit.run.power import LONGEST, exponent, mixture, share
from diffkit.run.sample import sample
from diffkit.run.snapshots import LENGTHS, Snapshots

from .conftest import Run

KEEP = ("callbacks=[figures,saving,snapshots]", "callbacks.snapshots.every=2")


def counted(length: float, update: int) -> Tensor:
    """How much the weights after each of `update` updates count, by the recursion that tracks the average."""
    total = torch.zeros(update, dtype=torch.float64)
    for k in range(1, update + 1):
        total *= 1 - share(length, k)
        total[k - 1] += share(length, k)
    return total


def integral(length: float, update: int) -> Tensor:
    """The same, from the definition: a power of time, integrated over each update by Gauss's rule of 20 points."""
    node, weight = (torch.tensor(a, dtype=torch.float64) for a in leggauss(20))
    times = torch.arange(update, dtype=torch.float64)[:, None] + (node + 1) / 2
    power = times.pow(exponent(length)) @ weight
    return power / power.sum()


@pytest.mark.parametrize("length", [0.01, 0.05, 0.1, 0.2, LONGEST])
def test_the_recursion_counts_the_past_by_a_power_of_time(length: float) -> None:
    found, wanted = counted(length, 40), integral(length, 40)
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-12)
    assert found.sum() == pytest.approx(1)


@pytest.mark.parametrize("length", [0.02, 0.05, 0.1, 0.2, 0.28])
def test_the_length_is_the_deviation_of_the_weighting(length: float) -> None:
    n = 4000
    p, k = counted(length, n), (torch.arange(n, dtype=torch.float64) + 0.5) / n
    mean = (p * k).sum()
    assert ((p * (k - mean) ** 2).sum().sqrt()).item() == pytest.approx(length, rel=1e-4)


def test_the_powers_that_were_published() -> None:
    """Karras et al. 2024: 16.97 and 6.94 for the two that they track."""
    assert [round(exponent(length), 2) for length in LENGTHS] == [16.97, 6.94]
    assert exponent(LONGEST) == pytest.approx(0, abs=1e-9)


def known(every: int = 50, end: int = 1000) -> list[tuple[float, int]]:
    return [(length, update) for update in range(every, end + 1, every) for length in LENGTHS]


@pytest.mark.parametrize("length", [0.03, 0.07, 0.15, 0.2])
def test_no_other_mixture_is_nearer(length: float) -> None:
    """The distance is that of the weightings themselves, and grows in every direction that keeps their sum."""
    tracked = known(100, 400)
    p, columns = counted(length, 400), torch.zeros(len(tracked), 400, dtype=torch.float64)
    for column, (other, update) in zip(columns, tracked, strict=True):
        column[:update] = counted(other, update)
    x, distance = mixture(tracked, (length, 400))
    assert x.sum() == pytest.approx(1, abs=1e-9)

    def off(x: Tensor) -> float:
        return ((p - x @ columns).norm() / p.norm()).item()

    assert off(x) == pytest.approx(distance, rel=0.05)
    stream = torch.Generator().manual_seed(0)
    for _ in range(20):
        other = torch.randn(len(x), generator=stream, dtype=torch.float64)
        other -= other.mean()
        assert off(x + 0.02 * other / (other @ columns).norm() * p.norm()) > distance


def test_a_tracked_average_is_made_of_itself() -> None:
    for i, length in enumerate(LENGTHS):
        x, distance = mixture(known(), (length, 500))
        place = known().index((length, 500))
        assert distance < 1e-6 and x[place] == pytest.approx(1, abs=1e-6), i
        assert x.abs().sum() == pytest.approx(1, abs=1e-5)


def walk(updates: int) -> Tensor:
    """Weights that learn: a fall to an end, and noise that becomes less, (updates, 500)."""
    stream = torch.Generator().manual_seed(0)
    k = torch.arange(1, updates + 1)[:, None]
    drawn = torch.randn(2, updates, 500, generator=stream)
    return torch.randn(500, generator=stream) + (-k / 300).exp() * drawn[0, 0] + 0.05 * drawn[1].cumsum(0) / 30


def track(weights: Tensor, lengths: Sequence[float], ends: Sequence[int]) -> dict[tuple[float, int], Tensor]:
    """Averages in float32, as the callback tracks them."""
    now = {length: torch.zeros(weights.shape[1]) for length in lengths}
    found = {}
    for update, w in enumerate(weights, 1):
        for length in lengths:
            now[length].lerp_(w, share(length, update))
            if update in ends:
                found[length, update] = now[length].clone()
    return found


def test_what_is_made_afterwards_is_what_would_have_been_tracked(tmp_path: Path) -> None:
    """Of 20 snapshots: to 1e-3 of its size, at the end and half-way."""
    weights, ends, lengths = walk(1000), [50 * i for i in range(1, 21)], (0.03, 0.05, 0.08, 0.1, 0.15, 0.2)
    tracked, folder = track(weights, lengths, ends), Snapshots(tmp_path)
    for end in ends:
        folder.write(end, {length: {"w": tracked[length, end]} for length in LENGTHS})
    for end in (1000, 500):
        for length in lengths if end == 1000 else lengths[:-1]:
            made = folder.average(length, end)["w"]
            off = (made - tracked[length, end]).norm() / tracked[length, end].norm()
            assert off < (2e-7 if length in LENGTHS else 1e-3), (length, end, off)
        assert (folder.average(0.15, end)["w"] - tracked[0.05, end]).norm() / tracked[0.05, end].norm() > 5e-3


class Watched(Callback):
    """Tracks one average by its definition, in float64."""

    def __init__(self) -> None:
        self.past: list[dict[str, Tensor]] = []

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *rest: Any) -> None:
        model: Any = pl_module.model
        self.past.append({name: p.detach().clone().double() for name, p in model.named_parameters()})


def test_a_run_keeps_them_and_loads_any(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    watched, original = Watched(), training._trainer
    monkeypatch.setattr(training, "_trainer", lambda c, f, ours: original(c, f, [*ours, watched]))
    folder = run("out=a", "trainer.max_steps=41", *KEEP)
    assert Snapshots(folder / "snapshots").updates() == [*range(2, 41, 2), 41]
    for ema, update, off in ((0.1, None, 1e-6), (0.05, 20, 1e-6), (0.08, None, 1e-3), (0.15, 30, 1e-3)):
        model = diffkit.load(folder, ema=ema, update=update).model
        p = integral(ema, update or 41)
        for name, parameter in model.named_parameters():
            wanted = sum(w * past[name] for w, past in zip(p, watched.past, strict=False))
            assert (parameter.double() - wanted).norm() <= off * wanted.norm() + 1e-9, (ema, name)
    ours, own = diffkit.load(folder, ema=0.05).model.state_dict(), diffkit.load(folder).model.state_dict()
    assert any(not torch.equal(ours[name], own[name]) for name in own)


def test_a_stop_changes_no_bit(run: Run) -> None:
    """Neither of what is tracked nor of the files; the snapshot at the stop is taken away again."""
    whole = run("out=whole", *KEEP, "task.decay=constant")
    parts = run("out=parts", *KEEP, "task.decay=constant", "trainer.max_steps=3")
    assert Snapshots(parts / "snapshots").updates() == [2, 3]
    parts = run("resume=parts", "trainer.max_steps=8")
    files = [f"{update:09d}.safetensors" for update in (2, 4, 6, 8)]
    for folder in (whole, parts):
        assert files == sorted(path.name for path in (folder / "snapshots").iterdir())
    assert all((parts / "snapshots" / f).read_bytes() == (whole / "snapshots" / f).read_bytes() for f in files)
    states = [Checkpoints().load_checkpoint(newest(f / "checkpoints").path)["callbacks"] for f in (parts, whole)]
    averages = [s["Snapshots"]["averages"] for s in states]
    for length in ("0.05", "0.1"):
        assert len(averages[0][length]) > 4
        assert all(torch.equal(a, b) for a, b in zip(averages[0][length], averages[1][length], strict=True))


def test_averages_cannot_begin_late(run: Run) -> None:
    run("out=a", "trainer.max_steps=2")
    with pytest.raises(DiffkitError, match="2 updates without snapshots"):
        run("resume=a", "callbacks=[figures,saving,snapshots]", "trainer.max_steps=4")


def test_the_commands_take_a_length(run: Run) -> None:
    folder = run("out=a", *KEEP, "trainer.max_steps=20", "task.warmup=0")
    outs = [
        sample(diffkit.compose([f"run={folder}", "n=2", f"ema={ema}", f"out=s{ema}"], "sample"))
        for ema in ("null", 0.05)
    ]
    assert (outs[0] / "samples.npz").read_bytes() != (outs[1] / "samples.npz").read_bytes()
    metric = ("metric=[sliced_wasserstein]", "metric.sliced_wasserstein.directions=4")
    scores = [
        evaluate(diffkit.compose([f"run={folder}", "n=20", *metric, f"ema={ema}"], "evaluate"))
        for ema in ("null", 0.05)
    ]
    assert scores[0] != scores[1]
    assert '"ema": 0.05' in (folder / "evaluation.json").read_text()


def test_what_is_not_there_is_said(run: Run) -> None:
    plain = run("out=plain", "trainer.max_steps=1")
    with pytest.raises(DiffkitError, match=r"plain kept no snapshots.*callbacks=\[progress,figures,saving,snapshots\]"):
        diffkit.load(plain, ema=0.08)
    folder = run("out=a", *KEEP)
    with pytest.raises(DiffkitError, match=r"ema=0.01 cannot be made.*they give lengths from 0.0\d+ to 0.\d+; more"):
        diffkit.load(folder, ema=0.01)
    with pytest.raises(DiffkitError, match="no snapshot after update 3: choose one of 2, 4, 6, 8"):
        diffkit.load(folder, ema=0.1, update=3)
    with pytest.raises(DiffkitError, match="update=4 is the moment of an average"):
        diffkit.load(folder, update=4)
    with pytest.raises(DiffkitError, match=r"ema=0.3 is no length.*at most 0.289"):
        diffkit.load(folder, ema=0.3)
    with pytest.raises(DiffkitError, match=r"at most 0\.288675"):
        diffkit.compose([f"run={folder}", "ema=0.3"], "sample")
    Path("alone").mkdir()
    (folder / "bundle").rename("alone/bundle")
    with pytest.raises(DiffkitError, match="is a bundle alone"):
        diffkit.load("alone/bundle", ema=0.1)


def test_damage_is_found(run: Run) -> None:
    folder = run("out=a", *KEEP)
    path = folder / "snapshots" / "000000004.safetensors"
    content = bytearray(path.read_bytes())
    for place, message in ((-3, "does not have its digest"), (12, "is damaged")):
        other = bytearray(content)
        other[place] ^= 1
        path.write_bytes(other)
        with pytest.raises(DiffkitError, match=rf"000000004.*{message}"):
            diffkit.load(folder, ema=0.1)
    path.write_bytes(content[:-5])
    with pytest.raises(DiffkitError, match="damaged"):
        diffkit.load(folder, ema=0.1)
    path.unlink()
    diffkit.load(folder, ema=0.1)
