"""How a part of each kind is proven: built with its defaults, and held against the contract of its kind."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch

from diffkit.compose.build import create, part
from diffkit.compose.registry import registry
from diffkit.compose.values import INJECTED, parameters
from diffkit.core.condition import ConditionSpec
from diffkit.core.errors import DiffkitError
from diffkit.core.schedule import Schedule
from diffkit.testing.combinations import tiny
from diffkit.testing.contracts import (
    check_codec,
    check_conditioner,
    check_data,
    check_denoiser,
    check_density,
    check_grid,
    check_guidance,
    check_metric,
    check_prediction,
    check_schedule,
    check_weighting,
)
from diffkit.testing.contracts.require import require
from diffkit.testing.contracts.walk import Quarter

SHAPES = ((1, 8, 8), (3, 4, 6), (2,), (5,), (2, 12), (1, 4, 4, 4))
"""The shapes that a network or a codec is tried with: it is for some of them, and refuses the others."""
CONDITIONS = (ConditionSpec(), ConditionSpec(vector=3), ConditionSpec(sequence=4), ConditionSpec(5, 4))
BATCH = {"label": torch.tensor([3, 0, 3, 9]), "text": ["three", "", "a handwritten 3", "nine or ten"]}
"""What a conditioner is tried with."""

Values = Mapping[str, Any]


class Unproven(Exception):
    """A part that cannot be proven without something that only its user has; the message says what."""


@cache
def schedules() -> tuple[Schedule, ...]:
    """Every registered schedule that can be built from its defaults."""
    names = registry().names("schedule")
    return tuple(create("schedule", name) for name in names if not lacking("schedule", name))


def lacking(kind: str, name: str) -> list[str]:
    """What the constructor asks for and verification has not got: a hyperparameter without a default, a model."""
    given = _GIVEN.get(kind, ())
    return [p.name for p in parameters(registry().load(kind, name)).values() if p.required and p.name not in given]


def build(kind: str, name: str, values: Values, **injected: Any) -> Any:
    """The part, of a small size if it is a network; raises `Unproven` where that is not possible."""
    missing = lacking(kind, name)
    if missing:
        injected_too = [n for n in missing if n in INJECTED]
        raise Unproven(f"needs {', '.join(missing)}" + (", which only a run has" if injected_too else ": no default"))
    given = {"schedule": Quarter(), "seed": 0, "classes": 10, "shape": SHAPES[0], **injected}
    return part(kind, {**tiny(kind, name), **values}, **given)


def prove(kind: str, name: str, values: Values) -> None:
    """Raise what speaks against a part: `AssertionError` with a sentence, or whatever it raises itself."""
    doc = registry().load(kind, name).__doc__
    require(bool(doc and doc.strip()), f"{kind}={name}", "has no docstring")
    if kind in _PROOFS:
        _PROOFS[kind](name, values)


def _schedule(name: str, values: Values) -> None:
    check_schedule(build("schedule", name, values))


def _prediction(name: str, values: Values) -> None:
    check_prediction(build("prediction", name, values))


def _weighting(name: str, values: Values) -> None:
    check_weighting(build("weighting", name, values))


def _density(name: str, values: Values) -> None:
    for schedule in schedules():
        check_density(build("density", name, values, schedule=schedule), schedule)


def _grid(name: str, values: Values) -> None:
    for schedule in schedules():
        check_grid(build("grid", name, values, schedule=schedule), schedule)


def _denoiser(name: str, values: Values) -> None:
    for condition in CONDITIONS:
        networks = _accepting("denoiser", name, values, condition=condition)
        for shape, network in networks.items():
            check_denoiser(network, shape, condition)


def _codec(name: str, values: Values) -> None:
    for shape, codec in _accepting("codec", name, values).items():
        check_codec(codec, shape)


def _accepting(kind: str, name: str, values: Values, **injected: Any) -> dict[tuple[int, ...], Any]:
    """The part for each shape that it does not refuse; at least one."""
    built: dict[tuple[int, ...], Any] = {}
    for shape in SHAPES:
        torch.manual_seed(0)
        try:
            built[shape] = build(kind, name, values, shape=shape, **injected)
        except DiffkitError as error:
            refusal = error
    require(bool(built), f"{kind}={name}", f"refuses {', '.join(map(str, SHAPES))}" + ("" if built else f": {refusal}"))
    return built


def _conditioner(name: str, values: Values) -> None:
    torch.manual_seed(0)
    conditioner = build("conditioner", name, values)
    if conditioner.key not in BATCH:
        raise Unproven(f"needs the column {conditioner.key!r}, and verification has {' and '.join(BATCH)}")
    check_conditioner(conditioner, BATCH)


def _guidance(name: str, values: Values) -> None:
    check_guidance(build("guidance", name, values))


def _data(name: str, values: Values) -> None:
    data = build("data", name, values)
    data.prepare_data()
    data.setup("fit")
    check_data(data)


def _metric(name: str, values: Values) -> None:
    """On the first data that have the conditions it needs, or any."""
    data = create("data", registry().names("data")[0], seed=0)
    rows = data.reference("test")
    columns = {column: values for column, values in rows.items() if column != "x"}
    classes = data.spec.conditions.get("label")
    metric = build("metric", name, values, data=data, shape=data.spec.shape, classes=classes)
    check_metric(metric, data.spec.restore(rows["x"]), columns)


_GIVEN: Mapping[str, tuple[str, ...]] = {
    "prediction": ("schedule",),
    "density": ("schedule",),
    "weighting": ("schedule",),
    "codec": ("shape",),
    "denoiser": ("shape", "condition", "schedule"),
    "conditioner": ("shape", "classes"),
    "data": ("seed",),
    "metric": ("data", "shape", "classes", "seed"),
}
"""What a part of each kind may ask for by name."""

_PROOFS: Mapping[str, Callable[[str, Values], None]] = {
    "schedule": _schedule,
    "prediction": _prediction,
    "weighting": _weighting,
    "density": _density,
    "grid": _grid,
    "denoiser": _denoiser,
    "codec": _codec,
    "conditioner": _conditioner,
    "guidance": _guidance,
    "data": _data,
    "metric": _metric,
}
