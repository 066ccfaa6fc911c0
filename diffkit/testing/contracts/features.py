"""Contracts of features."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from diffkit.compose.build import part
from diffkit.compose.registry import registry
from diffkit.core.data import Data
from diffkit.core.errors import DiffkitError
from diffkit.core.features import Features
from diffkit.testing.contracts.hold import hold, table
from diffkit.testing.contracts.require import require, require_close
from diffkit.testing.contracts.value import check_value
from diffkit.testing.given import seeded, tiny

ROWS = 5
BATCH = 1e-4
"""The relative difference of a row's features by itself and beside others: networks reckon in single precision."""


@dataclass(frozen=True)
class Seen:
    """Features, and the data whose rows they see."""

    features: Features
    data: Data

    def __str__(self) -> str:
        return type(self.features).__name__

    def samples(self) -> Tensor:
        """A few different real rows in their own units."""
        return self.data.spec.restore(self.data.reference("test")["x"].unique(dim=0)[:ROWS])

    @cached_property
    def vectors(self) -> Tensor:
        """Their features."""
        return self.features(self.data, self.samples())


def value(case: Seen) -> None:
    """It is a frozen dataclass of plain values, equal to a copy of itself and fit to be the key of a cache."""
    check_value(case.features)


def shape(case: Seen) -> None:
    """There is a vector of finite numbers for each row, and no gradient behind it."""
    got = case.vectors
    rows = len(case.samples())
    fits = got.ndim == 2 and len(got) == rows and got.shape[1] > 0 and got.is_floating_point()
    require(fits, case, f"features of shape {tuple(got.shape)} and {got.dtype} for {rows} rows, not a vector for each")
    require(bool(got.isfinite().all()), case, "a feature is not finite")
    require(not got.requires_grad, case, "the features ask for a gradient: find them under torch.no_grad()")


def untouched(case: Seen) -> None:
    """The samples are not written into."""
    x = case.samples()
    case.features(case.data, x)
    require(bool((x == case.samples()).all()), case, "the samples were written into")


def repeats(case: Seen) -> None:
    """The same samples have the same features, to the last bit: nothing is drawn or kept."""
    first = case.vectors
    with seeded(1):
        again = case.features(case.data, case.samples())
    require_close(case, "the features of the same samples, asked for again,", again, first, 0.0)


def rows(case: Seen) -> None:
    """A row's features do not depend on the rows beside it."""
    x = case.samples()
    for i in range(len(x)):
        alone = case.features(case.data, x[i : i + 1])
        what = f"the vector of row {i} by itself, against it in a batch of {len(x)},"
        require_close(case, what, alone, case.vectors[i : i + 1], BATCH)


def differ(case: Seen) -> None:
    """Different samples have different features."""
    apart = torch.pdist(case.vectors.double()).min().item()
    require(apart > 0, case, "two different rows have the same features")


FEATURES = table(value, shape, untouched, repeats, rows, differ)


def some_data(name: str) -> Data:
    """Registered data, of a small size."""
    data: Data = part("data", tiny("data", name), seed=0)
    return data


def seen(features: Features, data: Sequence[Data] | None = None) -> Seen:
    """The case for the first data that they do not refuse, by default of the registered; raises the last refusal."""
    refusal = DiffkitError(f"{type(features).__name__} was given no data")
    for one in data or registry().names("data"):
        try:
            known = some_data(one) if isinstance(one, str) else one
            features.check(known)
            return Seen(features, known)
        except DiffkitError as error:
            refusal = error
    raise refusal


def check_features(features: Features, data: Data | None = None) -> None:
    """Hold features against their contracts on some data, by default the first registered that they do not refuse.

    Raises `AssertionError` with what broke and what was measured, and their own `DiffkitError` if they refuse all.
    """
    hold(FEATURES, seen(features, [data] if data else None))
