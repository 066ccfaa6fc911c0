"""Combinations of parts on tiny networks: whatever fits together trains and samples, the rest is refused."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations, product
from typing import Any

import torch
from torch import Tensor

from diffkit.compose.build import build_model, diffused, part
from diffkit.compose.registry import registry
from diffkit.compose.values import hyperparameters
from diffkit.core.condition import Condition
from diffkit.core.data import DataSpec, rows_of
from diffkit.core.guidance import Branches, Guidance, guide
from diffkit.core.model import DiffusionModel
from diffkit.core.noise import Noise, generator
from diffkit.core.sampler import drive, prior
from diffkit.core.types import Batch
from diffkit.testing.contracts.require import require
from diffkit.testing.given import tiny

TRAINING = ("data", "codec", "conditioner", "denoiser", "prediction", "schedule", "density", "weighting")
"""The kinds that training depends on."""
SAMPLING = ("sampler", "grid", "guidance")
"""The kinds that sampling depends on beside."""
NONE = "-"
"""The choice of nothing, for a list kind."""

Choice = Mapping[str, str]
"""The name of a part for each kind."""


def choices(*kinds: str) -> dict[str, list[str]]:
    """The names of all parts of each kind that needs nothing of the user's; for list kinds also none."""

    def names(kind: str) -> list[str]:
        return [name for name in registry().names(kind) if not needs(kind, name)]

    return {kind: [NONE] * registry().kind(kind).many + names(kind) for kind in kinds}


def needs(kind: str, name: str) -> list[str]:
    """The hyperparameters that a part has no defaults for, such as another run."""
    return [p.name for p in hyperparameters(registry().load(kind, name)).values() if p.required]


Pair = frozenset[tuple[str, str]]
"""Two parts of different kinds: `{(kind, name), (kind, name)}`."""


def pairs(kinds: Mapping[str, Sequence[str]]) -> set[Pair]:
    """All pairs of parts of different kinds."""
    return {
        frozenset({(kind, name), (other, another)})
        for kind, other in combinations(kinds, 2)
        for name, another in product(kinds[kind], kinds[other])
    }


def covering(kinds: Mapping[str, Sequence[str]], refused: Collection[Pair] = ()) -> list[dict[str, str]]:
    """A few choices in which every pair of parts occurs that is not `refused`, found greedily.

    Raises `AssertionError` for a pair that is not refused, but whose row nothing completes.
    """
    left = pairs(kinds) - set(refused)
    rows: list[dict[str, str]] = []
    for pair in sorted(left, key=sorted):
        if pair in left:
            row = _row(kinds, refused, pair, left)
            left -= {frozenset(covered) for covered in combinations(row.items(), 2)}
            rows.append({kind: row[kind] for kind in kinds})
    return rows


def _row(kinds: Mapping[str, Sequence[str]], refused: Collection[Pair], pair: Pair, left: set[Pair]) -> dict[str, str]:
    """A pair, with the parts of the other kinds that cover the most of the pairs that are left."""
    row = dict(sorted(pair))
    for kind in [k for k in kinds if k not in row]:
        chosen = list(row.items())
        fit = [name for name in kinds[kind] if not any(frozenset({(kind, name), c}) in refused for c in chosen)]
        require(bool(fit), sorted(row.items()), f"fit together, but with no {kind}")
        gain = {name: sum(frozenset({(kind, name), c}) in left for c in chosen) for name in fit}
        row[kind] = max(fit, key=gain.__getitem__)
    return row


@dataclass(frozen=True)
class Trained:
    """A model, and the rows that it sees or saw."""

    model: DiffusionModel
    spec: DataSpec
    batch: Batch


@cache
def _rows(name: str) -> tuple[DataSpec, Batch]:
    data = part("data", tiny("data", name), seed=0)
    data.prepare_data()
    data.setup("fit")
    return data.spec, rows_of(data.reference("train"), torch.arange(4))


def fit(choice: Choice) -> Trained:
    """The model of a choice, before any step; raises `DiffkitError` where parts do not fit."""
    torch.manual_seed(0)
    spec, batch = _rows(choice["data"])
    nodes: dict[str, Any] = {kind: tiny(kind, choice[kind]) for kind in TRAINING if kind != "conditioner"}
    name = choice["conditioner"]
    nodes["conditioner"] = {} if name == NONE else {name: tiny("conditioner", name)}
    return Trained(build_model(nodes, spec), spec, batch)


def train(choice: Choice) -> Trained:
    """Two steps with the parts of the training kinds.

    Raises `DiffkitError` where the parts do not fit each other, and `AssertionError` for a loss that is not finite.
    """
    made = fit(choice)
    optimizer = torch.optim.AdamW(made.model.parameters(), lr=1e-3)
    for step in range(2):
        loss = loss_of(made, choice, step)
        require(bool(torch.isfinite(loss)), dict(choice), f"the loss is {loss.item()} in step {step + 1}")
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    return replace(made, model=made.model.eval())


def loss_of(made: Trained, choice: Choice, step: int = 0) -> Tensor:
    """The loss of a model in a step; raises `DiffkitError` where what the data hold does not fit the parts."""
    model, batch = made.model, made.batch
    density, weighting = (
        part(kind, tiny(kind, choice[kind]), schedule=model.schedule) for kind in ("density", "weighting")
    )
    stream = generator("combination", step)
    u = (torch.rand(4, generator=stream, dtype=torch.float64) + torch.arange(4)) / 4
    eps = torch.randn(model.codec.encode(batch["x"]).shape, generator=stream)
    keep = torch.tensor([True, True, False, True]).expand(len(model.conditioners.parts), 4)
    return model.loss(batch, density(model.schedule, u), eps, weighting, keep)[0].mean()


def _rough(kind: str, name: str) -> dict[str, float]:
    """Wide tolerances, for a part that has some: here it must work, and need not be exact."""
    return {key: 0.1 for key in ("rtol", "atol") if key in hyperparameters(registry().load(kind, name))}


def guidance(trained: Trained, choice: Choice) -> list[Guidance]:
    """The guidance of a choice; raises `DiffkitError` where it does not fit what is diffused."""
    names = [choice["guidance"]] if choice["guidance"] != NONE else []
    spec = diffused(trained.spec, trained.model.codec)
    return [part("guidance", tiny("guidance", name), spec=spec) for name in names]


def sample(trained: Trained, choice: Choice) -> None:
    """Two samples with the parts of the sampling kinds.

    Raises `DiffkitError` where the parts do not fit each other, and `AssertionError` for one that is not finite.
    """
    model, batch = trained.model, rows_of(trained.batch, torch.arange(2))
    sampler, grid = (part(kind, {**tiny(kind, choice[kind]), **_rough(kind, choice[kind])}) for kind in SAMPLING[:2])
    guidances = guidance(trained, choice)
    noise, times = Noise(0, [0, 1]), grid(model.schedule)
    with torch.no_grad():
        condition: Condition = model.conditioners(batch, 2)
        guided = guide(guidances, Branches(model.denoise, model.conditioners.null(2), model.schedule, batch))
        x = prior(model.schedule, times, noise(model.codec.encode(batch["x"])))
    for state in drive(sampler, lambda x_t, t: guided(x_t, t, condition), model.schedule, x, times, noise):
        x = state.x
    x = trained.spec.restore(model.codec.decode(x))
    require(bool(torch.isfinite(x).all()), dict(choice), "the samples are not finite")
    require(x.shape == batch["x"].shape, dict(choice), f"the samples are {tuple(x.shape)}")
