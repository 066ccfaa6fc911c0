"""Contracts of metrics."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor

from diffkit.core.data import Data, rows_of
from diffkit.core.metric import SampleMetric, figures
from diffkit.core.types import Batch
from diffkit.testing.contracts.hold import hold, made, table
from diffkit.testing.contracts.require import copied, equal, require, require_close
from diffkit.testing.given import rows as some_data, seeded

SAME = 1e-5
"""The relative difference of two values that must be the same."""
Make = Callable[..., SampleMetric]


@dataclass(frozen=True)
class Judged:
    """A metric and the data that it compares with."""

    make: Make
    data: Data

    def __str__(self) -> str:
        return type(self.metric).__name__

    @cached_property
    def metric(self) -> Any:
        """The metric."""
        spec = self.data.spec
        given = {"data": self.data, "shape": spec.shape, "classes": spec.conditions.get("label"), "seed": 0}
        with seeded():
            return made(self.make, **given)

    def samples(self, split: Literal["train", "test"] = "test") -> tuple[Tensor, dict[str, Any]]:
        """Real rows in the samples' place, in their own units, and their other columns."""
        columns = self.data.spec.own(self.data.reference(split))
        return columns.pop("x"), columns

    def value(self, x: Tensor, columns: Batch, parts: Sequence[Tensor] = ()) -> Tensor:
        """The figures of some samples after a reset, taken in by parts."""
        self.metric.reset()
        for part in parts:
            self.metric.update(x[part], rows_of(columns, part))
        if not parts:
            self.metric.update(x, columns)
        found = self.metric.compute()
        for shape in {tuple(one.shape) for one in (found.values() if isinstance(found, Mapping) else [found])}:
            require(shape == (), self, f"a value is of shape {shape}, not one number")
        return torch.tensor(list(figures("", found).values()), dtype=torch.float64)


def interface(case: Judged) -> None:
    """It is a torchmetrics `Metric`, so that it can be reset, and gathered from several devices."""
    missing = [name for name in ("reset", "sync") if not callable(getattr(case.metric, name, None))]
    require(
        not missing,
        case,
        f"has no {' and no '.join(missing)}: let it inherit from torchmetrics.Metric beside SampleMetric",
    )


def number(case: Judged) -> None:
    """Its value for held-out rows in the samples' place is one finite number, or one for each name."""
    value = case.value(*case.samples())
    require(len(value) > 0, case, "it gives no value at all")
    require(bool(value.isfinite().all()), case, f"the value for held-out rows is {_said(value)}")


def untouched(case: Judged) -> None:
    """Neither the samples nor the other columns are written into."""
    given = case.samples()
    before = copied(given)
    case.value(*given)
    require(equal(given, before), case, "the samples or their columns were written into")


def reset(case: Judged) -> None:
    """After `reset` nothing is left of earlier samples."""
    x, columns = case.samples()
    first = case.value(x, columns)
    other = case.value(-x.flip(0) + 1, columns)
    again = case.value(x, columns)
    what = f"the value for the same samples after a reset, {_said(again)} for {_said(first)} (others gave "
    require_close(case, f"{what}{_said(other)}),", again, first, SAME)


def batches(case: Judged) -> None:
    """The value does not depend on how the samples come in batches."""
    x, columns = case.samples()
    whole, index = case.value(x, columns), torch.arange(len(x))
    parted = case.value(x, columns, torch.tensor_split(index, 3))
    what = f"the value for three batches, {_said(parted)} for {_said(whole)} of one,"
    require_close(case, what, parted, whole, SAME)


def order(case: Judged) -> None:
    """The value does not depend on the order of the samples."""
    x, columns = case.samples()
    whole = case.value(x, columns)
    with seeded():
        mixed = case.value(x, columns, [torch.randperm(len(x))])
    what = f"the value for the same samples in another order, {_said(mixed)} for {_said(whole)},"
    require_close(case, what, mixed, whole, SAME)


def real(case: Judged) -> None:
    """Real rows are worth more than noise, where it says which is better (`higher_is_better`)."""
    x, columns = case.samples(case.metric.real)
    with seeded():
        noise = case.data.spec.restore(torch.randn(x.shape))
    at_best, at_worst = case.value(x, columns), case.value(noise, columns)
    said = f"{_said(at_best)} for real rows, {_said(at_worst)} for noise"
    require(bool((at_best.isfinite() & at_worst.isfinite()).all()), case, said)
    better = getattr(case.metric, "higher_is_better", None)
    if better is not None:
        above = at_best > at_worst if better else at_best < at_worst
        require(bool(above.all()), case, f"{said}, and higher_is_better is {better}")


def _said(value: Tensor) -> str:
    return " ".join(f"{one:.6g}" for one in value.tolist())


METRIC = table(interface, number, untouched, reset, batches, order, real)


def check_metric(make: Make, data: Data | None = None) -> None:
    """Hold a metric against its contracts on some data, by default the first registered.

    `make` is its class, or a function that builds one; it is given `data`, `shape`, `classes` and `seed` by name, if it
    asks for them. Raises `AssertionError` with what broke and what was measured.
    """
    hold(METRIC, Judged(make, data or some_data()))
