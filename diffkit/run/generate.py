"""From a model, a sampler and conditions to samples in the data's own units."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from diffkit.compose.build import latent_shape
from diffkit.core.condition import Condition
from diffkit.core.cost import Cost, count
from diffkit.core.data import KNOWN, DataSpec, rows_of
from diffkit.core.errors import DiffkitError
from diffkit.core.grid import FittedGrid, Grid
from diffkit.core.guidance import Branches, Denoise, Guidance, guide, told
from diffkit.core.model import DiffusionModel
from diffkit.core.noise import Noise
from diffkit.core.sampler import Sampler, State, calls, draws_noise, prior
from diffkit.core.types import Batch
from diffkit.core.variance import WithVariance
from diffkit.run.edit import GIVEN, SHARE, TO, Edit, Walk

Watch = Callable[[State], None]


@dataclass(frozen=True)
class Sampling:
    """How samples are drawn: the sampler, the times at which it stops, and what steers it."""

    sampler: Sampler
    grid: Grid
    guidance: Sequence[Guidance] = ()
    edit: Edit | None = None
    """What is done beside drawing samples from nothing, with the columns that it reads."""

    def check(self, model: DiffusionModel) -> None:
        """Raise `DiffkitError` if the grid or the sampler does not suit the model; called before any long work."""
        calls(self.sampler, model.schedule, self.grid(model.schedule), model.learn_variance)
        self._refuse_noise(model)

    def _refuse_noise(self, model: DiffusionModel) -> None:
        times = self.grid(model.schedule)
        if isinstance(self.grid, FittedGrid) and draws_noise(self.sampler, model.schedule, times):
            raise DiffkitError(
                f"{type(self.grid).__name__} is a grid that is fitted to exact solutions, and the sampler "
                f"{type(self.sampler).__name__} draws noise: choose another grid (grid=flow), or sampler=abm"
            )

    def reads(self, model: DiffusionModel) -> list[str]:
        """The columns that a sample may be asked with: those of the model's conditioners and of the guidances."""
        return list(dict.fromkeys([*model.conditioners.keys, *(key for g in self.guidance for key in g.reads)]))

    def cost(self, model: DiffusionModel, spec: DataSpec, told: bool) -> Cost:
        """What a sample costs; `told` says whether the model is given a condition."""

        def walk(guided: Denoise, condition: Condition) -> None:
            self._rehearse(model, spec, guided, condition)

        return count(self.guidance, model.schedule, told, model.learn_variance, walk)

    def steps(self, model: DiffusionModel, spec: DataSpec) -> int:
        """The number of states that a sample goes through after the first."""
        free = WithVariance(lambda x_t, t, condition: (torch.zeros_like(x_t), torch.zeros_like(x_t)))
        return self._rehearse(model, spec, free, Condition())

    def _rehearse(self, model: DiffusionModel, spec: DataSpec, guided: Denoise, condition: Condition) -> int:
        """Walk the grid with one row, as `states` does, and count its states."""
        x = torch.ones(1, *latent_shape(model.codec, spec))
        times = self.grid(model.schedule)
        walk = Walk(self.sampler, model.schedule, guided, condition, condition, times, x, x, torch.zeros_like, 0, (0,))
        if self.edit is not None:
            known, share = torch.zeros_like(x, dtype=torch.bool), torch.zeros(1)
            walk = self.edit(walk, {GIVEN: x, GIVEN + TO: x, KNOWN: known, SHARE: share}, lambda given: given)
        return sum(1 for _ in walk.states())

    def fitted(self, model: DiffusionModel, spec: DataSpec) -> "Sampling":
        """With a grid that is fitted to the model, without condition and guidance, where the grid is of that kind.

        Raises `DiffkitError` for a sampler that draws noise.
        """
        if not isinstance(self.grid, FittedGrid):
            return self
        self._refuse_noise(model)
        like, rows = _like(model), self.grid.rows
        wide = torch.promote_types(like.dtype, torch.float32)
        with evaluating(model), torch.no_grad():
            denoise = told(model.at(wide), model.conditioners.null(rows))
            shape = latent_shape(model.codec, spec)
            noise = Noise(0, range(rows))(like.new_empty(rows, *shape, dtype=wide))
            x = prior(model.schedule, self.grid(model.schedule), noise)
            return replace(self, grid=self.grid.fit(denoise, model.schedule, self.sampler, x))


def generate(
    model: DiffusionModel,
    spec: DataSpec,
    sampling: Sampling,
    columns: Batch,
    ids: Sequence[int],
    seed: int,
    negative: Batch | None = None,
    batch_size: int = 512,
    watch: Watch | None = None,
) -> Float[Tensor, " b *d"]:
    """One sample for each of `ids`, in the data's own units, as float32 on the CPU.

    `columns` hold the conditions of the samples, row by row (none: an unconditional model, or no condition given);
    `negative` those that take the null's place in guidance. The noise of a sample depends on `(seed, id)` alone; in
    batches of another size its values differ by rounding only (about 1e-5 of the data's scale in float32). `watch` is
    shown every state on the way.
    """
    with evaluating(model):
        done = []
        for first in range(0, len(ids), batch_size):
            index = torch.arange(first, min(first + batch_size, len(ids)))
            some = [ids[i] for i in index.tolist()]
            x = torch.empty(0)
            rows = rows_of(columns, index)
            for state in states(model, spec, sampling, rows, some, seed, _rows(negative, index)):
                x = state.x
                if watch is not None:
                    watch(state)
            done.append(_kept(_placed(decode(model, spec, x), spec, _present(model, rows, len(some))), rows))
        return torch.cat(done) if done else torch.empty(0, *spec.shape)


def states(
    model: DiffusionModel,
    spec: DataSpec,
    sampling: Sampling,
    columns: Batch,
    ids: Sequence[int],
    seed: int,
    negative: Batch | None = None,
) -> Iterator[State]:
    """One batch of samples as it emerges from noise: the state at the grid's first time, then one for each step.

    States are in the model's own space; `decode` brings them into the data's units. The first one (step 0) has the
    noise as its `x` and, since nothing was asked yet, as its `x_0` too.
    """
    like = _like(model)
    # the sampler's arithmetic is never below float32, whatever the network's own precision
    wide = torch.promote_types(like.dtype, torch.float32)
    with torch.no_grad():
        columns = _on(columns, like.device)
        condition, null = _conditions(model, columns, negative, len(ids))
        other = _other_end(model, columns, condition, len(ids))
        times, noise = sampling.grid(model.schedule), Noise(seed, ids)
        shape = latent_shape(model.codec, spec)
        eps = noise(like.new_empty(len(ids), *shape, dtype=wide))
        x = prior(model.schedule, times, eps)

    guided = guide(sampling.guidance, Branches(model.at(wide), null, model.schedule, columns))
    walk = Walk(sampling.sampler, model.schedule, guided, condition, other, times, eps, x, noise, seed, tuple(ids))
    if sampling.edit is not None:
        walk = sampling.edit(walk, columns, lambda given: _encode(model, spec, given).to(x))
    yield State(0, walk.times[0].item(), walk.x, walk.x)
    yield from walk.states()


@dataclass(frozen=True)
class Film:
    """A few samples emerging from noise: `x_t` and the model's `x_0` for it, in the data's own units, frame by frame.

    `x_t` is divided by the deviation it has in the model's space, so that noise looks alike on every schedule.
    """

    x_t: Float[Tensor, "frames b *d"]
    x_0: Float[Tensor, "frames b *d"]
    t: tuple[float, ...]
    logsnr: tuple[float, ...]
    columns: Batch = field(default_factory=dict)
    """What each of the b samples was told."""


def film(
    model: DiffusionModel,
    spec: DataSpec,
    sampling: Sampling,
    columns: Batch,
    ids: Sequence[int],
    seed: int,
    negative: Batch | None = None,
    frames: int = 41,
) -> Film:
    """The samples of `generate` on their way: `frames` of them (fewer for fewer steps), the last one the sample."""
    with evaluating(model):
        walk = list(states(model, spec, sampling, columns, ids, seed, negative))
        # a state holds the x_0 that led to it: the x_0 *for* its own x is the next state's, and the sample's its own
        pairs = [(now, after.x_0) for now, after in pairwise(walk)] + [(walk[-1], walk[-1].x)]
        index = torch.linspace(0, len(pairs) - 1, min(frames, len(pairs))).round().long().tolist()
        chosen = [pairs[i] for i in index]
        t = torch.tensor([state.t for state, _ in chosen], dtype=torch.float64)
        there = _present(model, columns, len(ids))
        size = [(a.square() + s.square()).sqrt().item() for a, s in zip(*model.schedule(t), strict=True)]
        return Film(
            torch.stack(
                [
                    _placed(decode(model, spec, state.x / k), spec, there)
                    for (state, _), k in zip(chosen, size, strict=True)
                ]
            ),
            torch.stack([_placed(decode(model, spec, x_0), spec, there) for _, x_0 in chosen]),
            tuple(t.tolist()),
            tuple(model.schedule.logsnr(t).tolist()),
            columns,
        )


def decode(model: DiffusionModel, spec: DataSpec, z: Float[Tensor, " b *e"]) -> Float[Tensor, " b *d"]:
    """Latents in the data's own units, as float32 on the CPU."""
    with torch.no_grad():
        narrow = z.to(next(model.codec.parameters(), z))
        return spec.restore(model.codec.decode(narrow).float().cpu())


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode; every part of it gets its own mode back in the end."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _conditions(
    model: DiffusionModel, columns: Batch, negative: Batch | None, rows: int
) -> tuple[Condition, Condition]:
    """The condition of each row, and what stands for none: the null, or the negative condition."""
    null = model.conditioners.null(rows)
    # nothing given: the same object, so that guidance need not ask for both
    given = any(name in columns for name in model.conditioners.keys)
    condition = model.conditioners(columns, rows) if given else null
    return condition, null if negative is None else model.conditioners(_on(negative, _like(model).device), rows)


def _other_end(model: DiffusionModel, columns: Batch, condition: Condition, rows: int) -> Condition:
    """The condition of an interpolation's other end; the same object where it has none of its own."""
    own = {name: columns[name + TO] for name in model.conditioners.keys if name + TO in columns}
    return model.conditioners(own, rows) if own else condition


def _encode(model: DiffusionModel, spec: DataSpec, given: Tensor) -> Tensor:
    """Rows in the data's own units as latents; where one is missing it is the mean."""
    x = spec.standardise(given.double()).nan_to_num(0.0)
    with torch.no_grad():
        return model.codec.encode(x.to(_like(model)))


def _present(model: DiffusionModel, columns: Batch, rows: int) -> Tensor | None:
    """Which places of each sample there are, on the CPU; None for all."""
    if not model.conditioners.spec.present:
        return None
    columns = _on(columns, _like(model).device)
    with torch.no_grad():
        condition = model.conditioners(columns, rows)
        both = (condition, _other_end(model, columns, condition, rows))
    places = [c.present for c in both if c.present is not None]
    return torch.stack(places).all(0).cpu() if places else None


def _placed(x: Float[Tensor, " b *d"], spec: DataSpec, present: Tensor | None) -> Float[Tensor, " b *d"]:
    """Samples with NaN at the places that there are not, and their centre where the spec says it is."""
    if present is not None:
        x = x.masked_fill(~present[:, None], math.nan)
    return x - x.nanmean(tuple(range(2, x.ndim)), keepdim=True) if spec.centred else x


def _kept(x: Float[Tensor, " b *d"], columns: Batch) -> Float[Tensor, " b *d"]:
    """The samples, with what was known to the last digit."""
    return columns[GIVEN].to(x).where(columns[KNOWN].to(x.device), x) if KNOWN in columns else x


def _like(model: nn.Module) -> Tensor:
    """A tensor on the model's device and in its precision."""
    return next(model.parameters(), torch.empty(0))


def _on(columns: Batch, device: torch.device) -> dict[str, Any]:
    return {name: c.to(device) if isinstance(c, Tensor) else c for name, c in columns.items()}


def _rows(columns: Batch | None, index: Tensor) -> dict[str, Any] | None:
    return None if columns is None else rows_of(columns, index)
