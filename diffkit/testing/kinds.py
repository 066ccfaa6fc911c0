"""How a registered part is proven: built as a run builds it, and held against the contracts of its kind by name."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from traceback import extract_tb
from typing import Any, TypeVar

import torch

import diffkit
from diffkit.compose.build import part
from diffkit.compose.registry import registry
from diffkit.compose.values import INJECTED, parameters
from diffkit.core.errors import DiffkitError
from diffkit.core.metric import ModelMetric
from diffkit.testing.contracts.codec import CODEC, codecs
from diffkit.testing.contracts.conditioner import CONDITIONER, Encoded
from diffkit.testing.contracts.data import DATA, Rows
from diffkit.testing.contracts.denoiser import DENOISER, networks
from diffkit.testing.contracts.density import DENSITY, OnSchedule as DensityOnSchedule
from diffkit.testing.contracts.features import FEATURES, seen
from diffkit.testing.contracts.generic import ANY, GENERIC
from diffkit.testing.contracts.grid import GRID, OnSchedule as GridOnSchedule
from diffkit.testing.contracts.guidance import GUIDANCE, Steered
from diffkit.testing.contracts.hold import Contract, Table, hold, sentence
from diffkit.testing.contracts.metric import METRIC, Judged
from diffkit.testing.contracts.model_metric import MODEL_METRIC, Metered
from diffkit.testing.contracts.prediction import PREDICTION
from diffkit.testing.contracts.sampler import SAMPLER, OnSchedules
from diffkit.testing.contracts.schedule import SCHEDULE
from diffkit.testing.contracts.task import TASK, training
from diffkit.testing.contracts.walk import Quarter
from diffkit.testing.contracts.weighting import WEIGHTING
from diffkit.testing.given import BATCH, CLASSES, CONDITIONS, SHAPES, SPEC, Unproven, data_sets, schedules, tiny
from diffkit.testing.settings import Setting

TABLES: Mapping[str, Table[Any]] = {
    "data": DATA,
    "codec": CODEC,
    "conditioner": CONDITIONER,
    "denoiser": DENOISER,
    "prediction": PREDICTION,
    "schedule": SCHEDULE,
    "density": DENSITY,
    "weighting": WEIGHTING,
    "task": TASK,
    "sampler": SAMPLER,
    "grid": GRID,
    "guidance": GUIDANCE,
    "features": FEATURES,
    "metric": METRIC,
}
"""The contracts of each kind, beside those of every part."""
_GIVEN: Mapping[str, tuple[str, ...]] = {
    "prediction": ("schedule",),
    "density": ("schedule",),
    "weighting": ("schedule",),
    "codec": ("shape", "spec", "load_model"),
    "denoiser": ("shape", "condition", "schedule"),
    "conditioner": ("shape", "classes"),
    "data": ("seed",),
    "metric": ("data", "shape", "classes", "seed"),
    "guidance": ("schedule", "spec", "shape"),
    "task": (
        *("model", "density", "weighting", "optimizer", "condition_dropout"),
        *("shape", "data", "spec", "seed", "classes"),
    ),
}
"""What a part of each kind may ask for by name."""


class NotBuilt(AssertionError):
    """A part that its constructor, or the build, refused; the message says why."""


@dataclass(frozen=True)
class Subject:
    """A registered part in one setting, and its contracts."""

    setting: Setting

    @property
    def contracts(self) -> Table[Any]:
        """All by name: `interface` alone, if the part has no class that could be held against the others."""
        try:
            cls = registry().load(self.setting.kind, self.setting.name)
        except DiffkitError:
            return {"interface": GENERIC["interface"]}
        own = MODEL_METRIC if issubclass(cls, ModelMetric) else TABLES.get(self.setting.kind, ANY)
        return {**GENERIC, "builds": builds, **own}

    def check(self, name: str) -> None:
        """Hold the part against one contract.

        Raises `AssertionError` with what broke, `Unproven` where that cannot be found out, or what the part raises.
        """
        if name in GENERIC:
            hold({name: GENERIC[name]}, self.setting)
        elif name == "builds":
            hold({name: builds}, self)
        else:
            hold({name: self.contracts[name]}, *self.cases)

    @cached_property
    def cases(self) -> Sequence[Any]:
        """What the contracts of the kind are held against: the part, built, and what it is tried with."""
        kind, name = self.setting.kind, self.setting.name
        missing = _lacking(kind, name, self.setting.values)
        if missing:
            only_in_a_run = [n for n in missing if n in INJECTED]
            raise Unproven(
                f"needs {', '.join(missing)}" + (", which only a run has" if only_in_a_run else ": no default")
            )
        try:
            return _CASES.get(kind, _alone)(self._build)
        except DiffkitError as error:
            raise NotBuilt(str(error)) from error

    def _build(self, **given: Any) -> Any:
        """The part, of a small size if it is a network; raises `AssertionError` if it is neither built nor refused."""
        kind, name, values = self.setting.kind, self.setting.name, self.setting.values
        defaults = {"schedule": Quarter(), "seed": 0, "classes": CLASSES, "shape": SHAPES[0], "spec": SPEC}
        try:
            return part(kind, {**tiny(kind, name), **values}, **{**defaults, **given})
        except DiffkitError as error:
            if error.__cause__ is None or isinstance(error.__cause__, DiffkitError):
                raise
            raise NotBuilt(str(error)) from error


def builds(subject: Subject) -> None:
    """It can be built from its defaults, as a run builds it."""
    _ = subject.cases


def _lacking(kind: str, name: str, values: Mapping[str, Any]) -> list[str]:
    """What the constructor asks for and verification has not got: a hyperparameter without a default, a model."""
    given = {*_GIVEN.get(kind, ()), *values}
    return [p.name for p in parameters(registry().load(kind, name)).values() if p.required and p.name not in given]


def check_part(kind: str, name: str, **values: Any) -> None:
    """Hold a registered part, of any kind, against all its contracts, as `diffkit verify kind=name` does.

    `values` are hyperparameters. Raises `AssertionError` with what broke and what was measured, `Unproven` for a part
    that needs what only its user has, and `DiffkitError` for an unknown kind or name.
    """
    registry().entry(kind, name)
    prove(Subject(Setting(kind, name, values)))


def explain(error: BaseException, name: str, contract: Contract[Any]) -> str:
    """What broke, the contract's sentence, and where a part raised an error of its own, in lines of their own."""
    named = isinstance(error, AssertionError | DiffkitError) and str(error)
    lines = [str(error) if named else f"{type(error).__name__}: {error}"]
    frames = [f for f in extract_tb(error.__traceback__) if not f.filename.startswith(_NOT_THEIRS)]
    if frames and not named:
        lines.append(f"raised at {frames[-1].filename}:{frames[-1].lineno}: {frames[-1].line}")
    return "\n".join([*lines, f"The contract {name!r}: {sentence(contract)}"])


_NOT_THEIRS = tuple(f"{Path(str(module.__file__)).parent}/" for module in (diffkit, torch))


def prove(subject: Subject) -> None:
    """Raise what speaks against a part: `AssertionError` with a sentence, or whatever it raises itself."""
    for name in subject.contracts:
        subject.check(name)


Build = Callable[..., Any]


def _alone(build: Build) -> Sequence[Any]:
    """The part by itself."""
    return [build()]


_CASES: Mapping[str, Callable[[Build], Sequence[Any]]] = {
    "density": lambda build: [DensityOnSchedule(build(schedule=s), s) for s in schedules()],
    "grid": lambda build: [GridOnSchedule(build(), s) for s in schedules()],
    "sampler": lambda build: [OnSchedules(build(), schedules())],
    "guidance": lambda build: [Steered(build())],
    "denoiser": lambda build: networks(build, SHAPES, CONDITIONS),
    "codec": lambda build: codecs(build, SHAPES),
    "conditioner": lambda build: [_encoded(build)],
    "data": lambda build: [_built(Rows(build), "data")],
    "features": lambda build: [seen(build())],
    "metric": lambda build: [_metric(build)],
    "task": lambda build: [training(build)],
}
"""What the contracts of a kind are held against, from the function that builds the part; it is built once."""

C = TypeVar("C")


def _built(case: C, part: str) -> C:
    getattr(case, part)
    return case


def _metric(build: Build) -> Judged | Metered:
    """The case for a metric of its sort, on the first registered data that it does not refuse."""
    cases = (Judged(build, data) for data in data_sets())
    case = _accepted(cases, lambda case: case.metric)
    return Metered(build, case.data) if isinstance(case.metric, ModelMetric) else case


def _encoded(build: Build) -> Encoded:
    """The case on the first shape that is not refused; raises `Unproven` where its column or its texts are not had."""
    case = _accepted((Encoded(build, BATCH, shape) for shape in SHAPES), lambda case: case.conditioner)
    _ = case.column
    try:
        _ = case.told
    except DiffkitError as error:
        raise Unproven(f"does not read what it is tried with: {error}") from error
    return case


def _accepted(cases: Iterable[C], build: Callable[[C], Any]) -> C:
    """The first case that can be built; raises the first `DiffkitError` if there is none."""
    refusals = []
    for case in cases:
        try:
            build(case)
            return case
        except DiffkitError as error:
            refusals.append(error)
    raise refusals[0]
