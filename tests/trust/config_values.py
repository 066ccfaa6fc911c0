"""Values that no option may have: of every key of every part, of every verb, and of Lightning's and torch's objects."""

from collections.abc import Iterator
from functools import cache, partial
from typing import Any, get_args, get_origin, get_type_hints

from omegaconf import DictConfig, OmegaConf, open_dict

from diffkit import compose
from diffkit.compose.build import check_values
from diffkit.compose.keys import VERBS
from diffkit.compose.registry import registry
from diffkit.compose.values import convert, hyperparameters
from diffkit.core.errors import DiffkitError
from diffkit.core.types import Range
from trust.mutation import mutation
from trust.row import Trial, expect, row

NEVER = ("nan", "inf", "-inf")
OTHERS: dict[str, tuple[float, ...]] = {
    "trainer.max_steps": (-2, 0, 2.5),
    "trainer.min_steps": (-1, 2.5),
    "trainer.max_epochs": (-2, 0, 2.5),
    "trainer.limit_train_batches": (-1, 0, 1.5),
    "trainer.limit_val_batches": (-1, 1.5),
    "trainer.overfit_batches": (-1, 1.5),
    "trainer.val_check_interval": (-1, 0, 1.5),
    "trainer.check_val_every_n_epoch": (-1, 0, 2.5),
    "trainer.num_sanity_val_steps": (-2, 2.5),
    "trainer.log_every_n_steps": (-1, 2.5),
    "trainer.accumulate_grad_batches": (-1, 0, 2.5),
    "trainer.gradient_clip_val": (-1,),
    "trainer.devices": (-2, 0, 2.5),
    "trainer.num_nodes": (-1, 0, 2.5),
    "trainer.max_time": (-1, 0, 2.5),
    "optimizer.lr": (-1, 0),
    "optimizer.weight_decay": (-1,),
    "optimizer.eps": (-1,),
    "callbacks.figures.every": (-1, 0, 2.5),
    "callbacks.saving.every": (-1, 0, 2.5),
    "callbacks.snapshots.every": (-1, 0, 2.5),
    "callbacks.progress.refresh": (-1, 0),
    "callbacks.progress.lines": (-1, 0),
    "logger.wandb.wait": (-1, 0),
}
"""Numbers of Lightning's, torch's and our own objects, with values that each must refuse; besides, text, true, NaN and
the infinities."""


@row(
    "O2",
    fault="wrong type, negative, NaN, Inf, 0, out of range, the same key twice",
    required="exit 2 with key, value and range",
    bare="14/17 accepted (YAML), 6/17 (typed)",
    full=1,
    small=1,
)
def values(trial: Trial) -> None:
    attempts = [*_of_parts(), *_of_verbs(), *_of_objects()]
    for key, value, attempt in attempts:
        said = _refusal(partial(attempt, key, value))
        expect(said is not None, f"{key}={value!r} is accepted")
        expect(key in str(said) and " must be " in str(said), f"{key}={value!r}: {said}")
    trial.figure("values tried", len(attempts))
    _twice(trial)


def _refusal(attempt: Any) -> str | None:
    try:
        attempt()
    except DiffkitError as error:
        return str(error)
    return None


def _of_parts() -> Iterator[tuple[str, Any, Any]]:
    """Every key of every part, with values that it must refuse, and what checks it."""
    for kind in registry().kinds:
        for name in registry().names(kind):
            cls, entry = registry().load(kind, name), registry().entry(kind, name)
            known = hyperparameters(cls)
            required = {key: "runs/x" for key, p in known.items() if p.required}

            def check(key: str, value: Any, cls: Any = cls, entry: Any = entry, given: Any = required) -> None:
                place, _, name = key.rpartition(".")
                check_values(place, entry, cls, {**given, name: value})

            for key, parameter in known.items():
                for value in wrong(parameter.hint):
                    yield f"{kind}.{key}", value, check


def _of_verbs() -> Iterator[tuple[str, Any, Any]]:
    for verb in VERBS.values():
        for key, hint in get_type_hints(verb, include_extras=True).items():
            for value in wrong(hint):
                yield key, value, lambda key, value, hint=hint: convert(key, value, hint)


def wrong(hint: Any) -> list[Any]:
    """Values that a hint does not allow: of a wrong type, not finite, and just outside of its range."""
    inner = [hint, *get_args(hint)]
    if Any in inner or object in inner:
        return []
    others: list[Any] = [object(), *([] if bool in inner else [True])]
    if str in inner:  # a number may be meant as a text
        return others
    limits = [limit for limit in get_args(hint)[1:] if isinstance(limit, Range)] if _annotated(hint) else []
    whole = _annotated(hint) and get_args(hint)[0] is int
    low = [limit.low - (0 if limit.open else 1 if whole else 1e-9) for limit in limits]
    beyond = [x for x in [*low, *(limit.high + 1 for limit in limits)] if abs(x) != float("inf")]
    return [*others, *map(float, NEVER), *(int(x) if whole else x for x in beyond), *([2.5] if whole else [])]


def _annotated(hint: Any) -> bool:
    return bool(getattr(hint, "__metadata__", ())) and get_origin(hint) is not None


def _of_objects() -> Iterator[tuple[str, Any, Any]]:
    for key, numbers in OTHERS.items():
        yield from ((key, value, _validated) for value in (*numbers, *map(float, NEVER), "fast", True))


@cache
def _composed() -> DictConfig:
    return compose(["callbacks=[progress,figures,saving,snapshots]", "logger=[csv,wandb]"])


def _validated(key: str, value: Any) -> None:
    from diffkit.compose.validate import validate

    cfg = _composed().copy()
    with open_dict(cfg):
        OmegaConf.update(cfg, key, value, force_add=True)
    validate(cfg, "train")


def _twice(trial: Trial) -> None:
    """The same key twice: in a command, and in a file of the user's."""
    from diffkit.compose.hydra import run

    preset = trial.folder / "conf/experiment/mine.yaml"
    preset.parent.mkdir(parents=True)
    preset.write_text("# @package _global_\nseed: 1\nname: mine\nseed: 2\n")
    argv = ["experiment=mine", "--config-dir", str(preset.parents[1])]
    said = str(_refusal(lambda: run("train", lambda cfg, overrides: None, argv)))
    expect("seed" in said and "mine.yaml, line 4" in said and "\n" not in said, f"a preset with a key twice: {said}")
    said = str(_refusal(lambda: compose(["grid.steps=3", "+grid.steps=4"])))
    expect("grid.steps is given twice" in said, f"a key twice: {said}")


@mutation("a number is a number", "O2", said="is accepted")
def any_number(patch: Any) -> None:
    from diffkit.compose import values as module

    fit = module._fit

    def lax(value: Any, hint: Any) -> Any:
        return value if isinstance(value, float) else fit(value, hint)

    patch.setattr(module, "_fit", lax)
