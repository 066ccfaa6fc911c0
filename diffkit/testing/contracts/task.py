"""Contracts of tasks."""

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from diffkit.compose.build import build_model, latent_shape, part
from diffkit.core.data import rows_of
from diffkit.core.errors import DiffkitError
from diffkit.core.types import Batch
from diffkit.testing.combinations import choices
from diffkit.testing.contracts.hold import hold, made, table
from diffkit.testing.contracts.require import copied, equal, require, require_close
from diffkit.testing.given import rows, seeded, some_rows, tiny

ROWS, STEPS = 16, 2
MODEL: dict[str, Any] = {
    "denoiser": {"_part_": "mlp", "width": 8, "depth": 1},
    "prediction": {"_part_": "v"},
    "schedule": {"_part_": "cosine"},
}
"""The parts of the tiny model that a task trains."""
_CLASS = {"class": {"_part_": "class"}}
Make = Callable[..., Any]


@dataclass(frozen=True)
class Training:
    """A task around a tiny model, which is told the class of a row or nothing."""

    make: Make
    told: bool
    codec: str = "identity"

    def __str__(self) -> str:
        return getattr(self.make, "__name__", "the task")

    @cached_property
    def task(self) -> Any:
        """The task, to look at."""
        return self.built()

    def built(self, weights: int = 0) -> Any:
        """A new one with seed 0, ready for a step; `weights` is the seed of the model's."""
        from lightning.pytorch import Trainer

        data = rows()
        with seeded(weights):
            parts = {"codec": tiny("codec", self.codec), "conditioner": _CLASS if self.told else {}}
            model = build_model(MODEL | parts, data.spec)
            given: dict[str, Any] = {
                "model": model,
                "density": part("density", {"_part_": "uniform"}, schedule=model.schedule),
                "weighting": part("weighting", {"_part_": "unit"}, schedule=model.schedule),
                "optimizer": partial(torch.optim.AdamW, lr=1e-2),
                "condition_dropout": 0.1,
                "shape": latent_shape(model.codec, data.spec),
                "data": data,
                "spec": data.spec,
                "classes": data.spec.conditions.get("label"),
                "seed": 0,
            }
            task = made(self.make, **given)
            with torch.no_grad():  # a network may start with an output, and so with gradients, of zero
                for parameter in task.parameters():
                    if parameter.requires_grad:
                        parameter.add_(torch.randn_like(parameter), alpha=0.05)
        with quiet():
            task.trainer = Trainer(**TRAINER)
        return task.train()

    def batch(self) -> Batch:
        """Training rows, always the same."""
        columns = rows().reference("train")
        return rows_of(columns, torch.arange(ROWS))

    def loss(self, task: Any, place: int = 0) -> Tensor:
        """The loss of a training step on `batch`, with torch's own generator at some `place`."""
        with seeded(place):
            answer = task.training_step(self.batch(), 0)
        loss = answer.get("loss") if isinstance(answer, Mapping) else answer
        require(isinstance(loss, Tensor), self, f"training_step gives {type(loss).__name__}, not the loss as a tensor")
        assert isinstance(loss, Tensor)
        return loss


TRAINER: dict[str, Any] = {
    "accelerator": "cpu",
    "devices": 1,
    "max_steps": STEPS,
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "limit_val_batches": 0,
}


@contextmanager
def quiet() -> Iterator[None]:
    """Without Lightning's advice, which is for real runs."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric", "pytorch_lightning")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _groups(case: Training, task: Any) -> list[Tensor]:
    """The tensors that the task's optimizers are given."""
    found = task.configure_optimizers()
    found = found["optimizer"] if isinstance(found, Mapping) else found
    optimizers = found if isinstance(found, list | tuple) else [found]
    named = all(isinstance(optimizer, torch.optim.Optimizer) for optimizer in optimizers)
    require(named, case, f"configure_optimizers gives {type(found).__name__}, not an optimizer of torch")
    return [p for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]]


def loss(case: Training) -> None:
    """A training step gives one finite number that has a gradient."""
    found = case.loss(case.built())
    require(tuple(found.shape) == (), case, f"the loss is of shape {tuple(found.shape)}, not one number")
    require(bool(found.isfinite()), case, f"the loss of {ROWS} rows is {found.item()}")
    require(
        found.requires_grad, case, "the loss has no gradient: it does not depend on what is trained, or is detached"
    )


def repeats(case: Training) -> None:
    """The same seed, step and rows have the same loss, to the last bit, wherever torch's own generator is."""
    first = case.loss(case.built())
    again = case.loss(case.built(), place=1)
    require(equal(first, again), case, f"the loss is {again.item():.8g}, and was {first.item():.8g} with the same seed")


def weights(case: Training) -> None:
    """Other weights have another loss."""
    first, other = case.loss(case.built(0)), case.loss(case.built(1))
    require(not equal(first, other), case, f"the loss is {first.item():.6g} with these weights, and with others, too")


def untouched(case: Training) -> None:
    """A training step does not write into the batch."""
    task, batch = case.built(), dict(case.batch())
    before = copied(batch)
    task.training_step(batch, 0)
    require(equal(batch, before), case, "the batch was written into")


def gradients(case: Training) -> None:
    """A gradient reaches every tensor that the optimizer is given."""
    task = case.built()
    tensors = _groups(case, task)
    require(bool(tensors), case, "the optimizer is given nothing to train")
    grads = torch.autograd.grad(case.loss(task), tensors, allow_unused=True)
    names = {id(p): name for name, p in task.named_parameters()}
    lost = [names.get(id(p), "a tensor of no name") for p, g in zip(tensors, grads, strict=True) if g is None]
    require(not lost, case, f"no gradient reaches {', '.join(lost[:5])}, {len(lost)} of {len(tensors)} tensors")


def learns(case: Training) -> None:
    """Two steps on Lightning's trainer change every tensor that the optimizer is given, and so the loss."""
    task = case.built()
    before = case.loss(case.built()).item()
    kept = copied(task.state_dict())
    tensors = {name for name, p in task.named_parameters() if id(p) in set(map(id, _groups(case, task)))}
    with quiet(), seeded(4):
        task.trainer.fit(task, datamodule=some_rows())
    steps = task.trainer.global_step
    require(steps == STEPS, case, f"the trainer made {steps} steps of {STEPS}")
    same = [name for name, now in task.state_dict().items() if name in tensors and equal(now, kept[name])]
    said = f"after {STEPS} steps {len(same)} of {len(tensors)} tensors are as before: {', '.join(same[:3])}"
    require(not same, case, said)
    other = case.built(1)
    other.load_state_dict(task.state_dict())
    after = case.loss(other).item()
    require(after != before, case, f"the loss of the same rows is {after:.8g} after {STEPS} steps, as before")


def state(case: Training) -> None:
    """Another one that is given its `state_dict` has the same loss."""
    task, other = case.built(0), case.built(1)
    other.load_state_dict(task.state_dict())
    require_close(case, "the loss of another one with its state_dict", case.loss(other), case.loss(task), 1e-6)


TASK = table(loss, repeats, weights, untouched, gradients, learns, state)


def training(make: Make) -> Training:
    """The task of a model that is told the class, or nothing if it refuses that by a `DiffkitError`.

    If it refuses both, of a model of latents. Raises `DiffkitError` if it refuses those of every codec, too.
    """
    told = isinstance(rows().spec.conditions.get("label"), int)
    others = [name for name in choices("codec")["codec"] if name != Training.codec]
    cases = [Training(make, told), Training(make, False), *(Training(make, False, name) for name in others)]
    for case in cases[:-1]:
        try:
            case.task  # noqa: B018  # builds it
        except DiffkitError:
            continue
        return case
    cases[-1].task  # noqa: B018
    return cases[-1]


def check_task(make: Make) -> None:
    """Hold a task against its contracts: what it makes of a tiny model and the first registered data.

    `make` is its class, or a function that builds one; it is given `model`, `density`, `weighting`, `optimizer`,
    `shape`, `seed`, `condition_dropout` and `data` by name, as by a run. Raises `AssertionError` with what broke and
    what was measured.
    """
    hold(TASK, training(make))
