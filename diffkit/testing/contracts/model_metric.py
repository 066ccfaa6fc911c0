"""Contracts of metrics of the model itself."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.compose.build import create
from diffkit.core.condition import Condition
from diffkit.core.data import Data, rows_of
from diffkit.core.denoiser import DenoiserNetwork
from diffkit.core.metric import Figure, ModelMetric
from diffkit.core.model import DiffusionModel
from diffkit.core.types import Batch
from diffkit.testing.contracts.hold import hold, made, table
from diffkit.testing.contracts.require import copied, equal, require, require_close
from diffkit.testing.given import rows as some_data, seeded

ROWS = 8
SAME = 1e-3
"""The difference, in units of the standard error or of 1, of two values that must be the same but for tolerances."""


class Normal(DenoiserNetwork):
    """The network of data that are standard normal in the model's space, which a v-prediction makes of nothing."""

    def forward(
        self, x: Float[Tensor, " b *d"], logsnr: Float[Tensor, " b"], condition: Condition
    ) -> Float[Tensor, " b *d"]:
        """Zero."""
        return 0 * x


@dataclass(frozen=True)
class Metered:
    """A metric of the model itself, and data for it."""

    make: Callable[..., ModelMetric]
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

    @cached_property
    def model(self) -> DiffusionModel:
        """A model of standard normal data, which has learned the reverse variance too."""
        prediction, schedule = create("prediction", "v"), create("schedule", "cosine")
        codec = create("codec", "identity")
        return DiffusionModel(Normal(), prediction, schedule, [], codec, learn_variance=True).eval()

    def rows(self) -> dict[str, Any]:
        """A few held-out rows, in their own units."""
        some = rows_of(self.data.reference("test"), torch.arange(ROWS))
        return {**some, "x": self.data.spec.restore(some["x"]).double()}

    def figures(self, rows: Batch, parts: Sequence[Tensor]) -> dict[str, Figure]:
        """What is found for rows after a reset, taken in by parts."""
        self.metric.reset()
        for part in parts:
            self.metric.update(self.model, self.data.spec, rows_of(rows, part), part.tolist(), 0)
        return dict(self.metric.compute().figures)


def figures(case: Metered) -> None:
    """It finds at least one figure, each a finite number with a standard error that is none below 0."""
    found = case.figures(case.rows(), [torch.arange(ROWS)])
    require(bool(found), case, "finds no figures")
    for name, figure in found.items():
        require(math.isfinite(figure.value), case, f"{name} is {figure.value}")
        require(not figure.error < 0, case, f"the standard error of {name} is {figure.error}")


def untouched(case: Metered) -> None:
    """The rows are not written into."""
    given = case.rows()
    before = copied(given)
    case.figures(given, [torch.arange(ROWS)])
    require(equal(given, before), case, "the rows were written into")


def batches(case: Metered) -> None:
    """The figures do not depend on how the rows come in batches, on their order, or on what came before a reset."""
    rows, index = case.rows(), torch.arange(ROWS)
    whole = case.figures(rows, [index])
    for parts in (torch.tensor_split(index, 3), [index.flip(0)]):
        found = case.figures(rows, parts)
        for name, figure in whole.items():
            got, wanted = (torch.tensor(f.value / max(1.0, figure.error)) for f in (found[name], figure))
            require_close(case, f"{name} of the same rows in other batches", got, wanted, SAME)


MODEL_METRIC = table(figures, untouched, batches)


def check_model_metric(make: Callable[..., ModelMetric], data: Data | None = None) -> None:
    """Hold a metric of the model itself against its contracts on some data, by default the first registered.

    `make` is its class, or a function that builds one; it is given `data`, `shape`, `classes` and `seed` by name, if it
    asks for them. Raises `AssertionError` with what broke and what was measured.
    """
    hold(MODEL_METRIC, Metered(make, data or some_data()))
