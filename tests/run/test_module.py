"""What a step of training draws, and what learns beside the model."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Trainer
from torch import Tensor

import diffkit
from diffkit import DiffkitError
from diffkit.compose.build import build
from diffkit.core.objective import on_chain
from diffkit.run import module
from diffkit.run.checkpoint import Checkpoints, newest
from diffkit.run.sample import sample
from diffkit.run.times import spread

from .conftest import TINY, Run


def numbers(stratify: str, rows: int = 16, steps: int = 2000) -> Tensor:
    g = torch.Generator().manual_seed(0)
    return torch.stack([spread(torch.rand(rows, generator=g, dtype=torch.float64), stratify) for _ in range(steps)])


@pytest.mark.parametrize("stratify", ["strata", "lattice", "none"])
def test_numbers_are_uniform(stratify: str) -> None:
    """Every row's by itself, or all together: the distance of the histogram is that of chance, or less."""
    u = numbers(stratify)
    assert u.min() >= 0 and u.max() < 1
    together = torch.histc(u, 20, 0, 1) / u.numel()
    torch.testing.assert_close(together, torch.full_like(together, 1 / 20), rtol=0, atol=4 * (0.05 / u.numel()) ** 0.5)


@pytest.mark.parametrize("stratify", ["strata", "lattice"])
def test_numbers_are_even_in_each_step(stratify: str) -> None:
    """One in each of b equal strata; a lattice is b equal steps."""
    u = numbers(stratify)
    assert ((u * 16).long().sort(1).values == torch.arange(16)).all()
    if stratify == "lattice":
        gaps = u.sort(1).values.diff(dim=1)
        torch.testing.assert_close(gaps, torch.full_like(gaps, 1 / 16))


def test_even_numbers_lower_the_variance_of_a_mean() -> None:
    """Of a smooth function of time, over the 16 rows of a step."""
    variance = {s: numbers(s).mul(3).exp().mean(1).var().item() for s in ("strata", "lattice", "none")}
    assert variance["strata"] < variance["none"] / 50
    assert variance["lattice"] < variance["none"] / 10


def state(folder: Path) -> dict[str, Any]:
    return Checkpoints().load_checkpoint(newest(folder / "checkpoints").path)["state_dict"]


LEARNING = (
    "density=importance",
    "density.cells=4",
    "weighting=uncertainty",
    "weighting.waves=4",
    "task.decay=constant",
)


def test_what_learns_beside_the_model_resumes_bit_exactly(run: Run) -> None:
    whole = state(run("out=whole", *LEARNING))
    run("out=parts", *LEARNING, "trainer.max_steps=3")
    parts = state(run("resume=parts", "trainer.max_steps=8"))
    assert whole.keys() == parts.keys()
    assert [name for name in whole if not torch.equal(whole[name], parts[name])] == []
    assert whole["weighting.weight"].all()
    assert whole["density.seen"].sum() == 8 * 32
    assert whole["density.squares"].unique().numel() == 4


def test_devices_see_the_losses_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two tasks that stand for two devices: each gathers both batches, and both densities end alike."""
    tasks = [build(diffkit.compose([*TINY, *LEARNING[:2]])).task for _ in range(2)]
    for task in tasks[1:]:
        task.load_state_dict(tasks[0].state_dict())
    spec, rows = (2,), 8
    batches = [{"x": torch.randn(rows, *spec), "label": torch.zeros(rows, dtype=torch.long)} for _ in tasks]
    drawn = [(torch.rand(rows, dtype=torch.float64), torch.randn(rows, *spec), None) for _ in tasks]
    gathered: list[Tensor] = []

    def collect(mine: Tensor) -> Tensor:
        gathered.append(mine)
        return mine

    for everywhere in (collect, lambda mine: torch.cat(gathered)):
        monkeypatch.setattr(module, "everywhere", everywhere)
        for task, batch, random in zip(tasks, batches, drawn, strict=True):
            monkeypatch.setattr(task, "draw", lambda rows, random=random: random)
            with torch.no_grad():
                task.density.seen.zero_()
                task.density.squares.zero_()
                task.training_step(batch, 0)
    assert tasks[0].density.seen.sum() == 2 * rows
    assert torch.equal(tasks[0].density.squares, tasks[1].density.squares)


def test_the_objective_of_an_adaptive_density_is_that_of_uniform_times() -> None:
    task = build(diffkit.compose([*TINY, *LEARNING[:2], "density.memory=1"])).task
    u = (torch.arange(4000, dtype=torch.float64) + 0.5) / 4000
    task.density.observe(u, 1 + 9 * u)
    t = task.density(task.model.schedule, u)
    assert t.mean() > 0.6
    assert task._mean(t.square(), t).item() == pytest.approx(1 / 3, rel=2e-3)
    assert on_chain(t, 10).min() == 0.1


@pytest.mark.parametrize(("algorithm", "clipped"), [("norm", [0.6, 0.8]), ("value", [1.0, 1.0])])
@pytest.mark.parametrize("precision", ["bf16-mixed", "32-true"])
def test_gradients_are_clipped_for_a_fused_optimizer_too(precision: str, algorithm: str, clipped: list[float]) -> None:
    task = build(diffkit.compose(TINY)).task
    task.trainer = Trainer(precision=precision, accelerator="cpu", logger=False, enable_checkpointing=False)
    weight = torch.nn.Parameter(torch.zeros(2))
    weight.grad = torch.tensor([3.0, 4.0])
    task.configure_gradient_clipping(torch.optim.AdamW([weight], fused=True), 1.0, algorithm)
    assert weight.grad.tolist() == pytest.approx(clipped)


VARIANCE = ("learn_variance=true", "conditioner=[class]", "sampler=ddpm", "sampler.variance=learned")


def test_a_learned_variance_from_training_to_samples(run: Run) -> None:
    """Trained, saved in the bundle, sampled with guidance by its own choices and by another sampler."""
    folder = run("out=learned", *VARIANCE, "guidance=[cfg]", "guidance.cfg.scale=2")
    pipeline = diffkit.load(folder)
    assert pipeline.model.learn_variance
    assert pipeline.model.with_schedule(pipeline.model.schedule).learn_variance
    _, v = pipeline.model.answer(torch.randn(3, 2), torch.tensor(0.5).double(), pipeline.model.conditioners.null(3))
    assert v is not None and v.shape == (3, 2)
    for overrides in ([], ["sampler=ddpm", "sampler.variance=small"], ["sampler=ddim"]):
        out = sample(diffkit.compose([f"run={folder}", "n=3", "label=1", "out=drawn", *overrides], "sample"))
        assert (out / "samples.npz").is_file()


def test_v_is_trained(run: Run) -> None:
    """The last layer's weights for v move with the bound, and stay as they were without its weight."""
    more = (*VARIANCE, "optimizer.weight_decay=0", "task.decay=constant")
    choices = ((1, 0), (4, 0), (4, 1))
    states = [
        state(run(f"out={steps}-{weight}", *more, f"trainer.max_steps={steps}", f"task.variance_weight={weight}"))
        for steps, weight in choices
    ]
    last = [name for name, a in states[0].items() if name.startswith("model.denoiser") and len(a) == 4][-1]
    of_f, of_v = ([a[last][rows] for a in states] for rows in (slice(2), slice(2, 4)))
    assert not torch.equal(of_f[0], of_f[1])
    assert torch.equal(of_v[0], of_v[1])
    assert not torch.equal(of_v[1], of_v[2])


def test_a_variance_that_was_not_learned_is_refused_before_any_work(run: Run) -> None:
    sentence = "has not learned: choose another variance, or train with learn_variance=true"
    with pytest.raises(DiffkitError, match=sentence):
        run("out=none", *VARIANCE[1:])
    assert not Path("none").exists()
    folder = run("out=plain", "trainer.max_steps=1")
    with pytest.raises(DiffkitError, match=sentence):
        sample(diffkit.compose([f"run={folder}", "n=1", "sampler=ddpm", "sampler.variance=learned"], "sample"))
    with pytest.raises(DiffkitError, match=sentence):
        diffkit.load(folder).sample(1, sampler=diffkit.create("sampler", "ddpm", variance="learned"))


def test_each_condition_is_dropped_at_its_own_rate_whatever_becomes_of_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chances = [0.1, 0.5, 0.0, 1.0]
    task = build(diffkit.compose([*TINY, "condition_dropout=0.1"])).task
    monkeypatch.setattr(type(task), "trainer", Alone())
    task._dropout = torch.tensor(chances).reshape(-1, 1)
    rows = 40_000
    dropped = ~task.draw(rows)[2]
    assert not dropped[2].any() and dropped[3].all()
    rates = dropped.double().mean(1)
    together = (dropped[0] & dropped[1]).double().mean()
    for rate, chance in ((rates[0], 0.1), (rates[1], 0.5), (together, 0.05)):
        assert abs(rate - chance) < 4 * (chance * (1 - chance) / rows) ** 0.5
    task.batches += 1
    assert not torch.equal(task.draw(rows)[2], ~dropped)


class Alone:
    """The part of a trainer that a task's numbers depend on."""

    world_size, global_rank = 1, 0


def test_one_dropout_is_everyones_and_a_list_has_one_for_each() -> None:
    task = build(diffkit.compose(["data=digits", "conditioner=[text,class]", "condition_dropout=[0.1,0.5]"])).task
    assert task._dropout.flatten().tolist() == pytest.approx([0.1, 0.5])
    assert module._dropout(0.2, 2) == [0.2, 0.2]
    for values, message in (([0.1], "has 1 numbers for 2 conditioners"), ([0.1, 1.5], "1.5 is not a probability")):
        with pytest.raises(DiffkitError, match=message):
            module._dropout(values, 2)
