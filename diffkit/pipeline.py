"""A trained model in Python: load it, sample from it, look at the samples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.compose.build import build_sampling
from diffkit.compose.recorded import require
from diffkit.core.data import DataSpec, Drawing, rows_of
from diffkit.core.errors import DiffkitError
from diffkit.core.evidence import Density
from diffkit.core.grid import FittedGrid, Grid
from diffkit.core.guidance import Guidance
from diffkit.core.likelihood import LogLikelihood, joined
from diffkit.core.model import DiffusionModel, Network
from diffkit.core.sampler import Sampler
from diffkit.core.types import Batch
from diffkit.run import pictures
from diffkit.run.bundle import load as open_bundle
from diffkit.run.generate import Sampling, evaluating, generate
from diffkit.run.request import request
from diffkit.run.rows import checked_rows
from diffkit.run.saved import Saved, open_run

if TYPE_CHECKING:
    from PIL.Image import Image


PLAIN = Density()


@dataclass(frozen=True)
class Samples:
    """Samples and what they were conditioned on."""

    x: Float[Tensor, " b *d"]
    """In the data's own units."""
    columns: Batch
    """The conditions by name, row by row."""
    data: Drawing
    """What knows how to draw them: the data part, or what its class gives where the data are not at hand."""

    def image(self) -> "Image":
        """The samples under their captions."""
        return pictures.grid(self.data, self.x, self.columns)


@dataclass(frozen=True)
class Pipeline:
    """A trained model with the choices it was trained and is sampled with. Nothing is kept between calls."""

    saved: Saved

    def __repr__(self) -> str:
        """Where it is from: a notebook shows this, and its weights and choices would be pages."""
        return f"Pipeline({str(self.saved.folder)!r})"

    @property
    def model(self) -> DiffusionModel:
        """The model, in evaluation mode: move it to another device or precision with `.to`."""
        return self.saved.model

    @property
    def spec(self) -> DataSpec:
        """What its data are: shape, conditions, units."""
        return self.saved.spec

    def sample(
        self,
        n: int | None = None,
        text: str | Sequence[str | None] | None = None,
        label: int | str | Sequence[int | str | None] | None = None,
        negative: str | int | Sequence[str | int | None] | None = None,
        seed: int = 0,
        sampler: Sampler | str | None = None,
        grid: Grid | str | None = None,
        steps: int | None = None,
        guidance: Sequence[Guidance] | None = None,
        scale: float | None = None,
        batch_size: int = 128,
        vary: int | None = None,
        variation: float | None = None,
    ) -> Samples:
        """Draw `n` samples; the i-th depends on `seed`, i and its own conditions alone.

        `text` and `label` are one for all samples, or a list of `n`, one for each (`n` may then be left out), with None
        for those that are told none; a label is a class's number or its name. What is not given is the run's own
        choice. `sampler` and `grid` are names or objects, `guidance` objects; `steps` is that of a grid that a name or
        the run chose, `scale` that of every guidance of the run. `negative`, one or a list like the others, takes the
        null's place in guidance. With `vary` all are variations of the sample of that number, with `variation` of
        their own noise (from 0 to 1, by default 0.3).

        Raises `DiffkitError` for conditions that the model does not know, for values that a part does not allow, and
        for lists of another length than `n`.
        """
        sampling = self._sampling(sampler, grid, steps, guidance, scale)
        asked = self._each(n, text, label) | {"negative": negative, "vary": vary, "variation": variation}
        return self._draw(sampling, asked, seed, batch_size)

    def edit(
        self,
        input: Float[Tensor, " b *d"] | str | Path | Sequence[str | Path] | None = None,
        strength: float | None = None,
        mask: Any = None,
        repaint: int | None = None,
        jump: int | None = None,
        invert: str | None = None,
        source: str | int | None = None,
        between: int | None = None,
        n: int | None = None,
        text: str | Sequence[str | None] | None = None,
        label: int | str | Sequence[int | str | None] | None = None,
        negative: str | int | Sequence[str | int | None] | None = None,
        seed: int = 0,
        sampler: Sampler | str | None = None,
        grid: Grid | str | None = None,
        steps: int | None = None,
        guidance: Sequence[Guidance] | None = None,
        scale: float | None = None,
        batch_size: int = 128,
    ) -> Samples:
        """What `diffkit sample` does with these keys: `n` samples of each row of `input`, or `between` two of them.

        `input` is rows in the data's own units (b, *shape), or files; `mask` an array too. Texts, labels and rows go
        in pairs, one of each with all of the others. Raises `DiffkitError` as the command does.
        """
        sampling = self._sampling(sampler, grid, steps, guidance, scale)
        edits = {"input": input, "strength": strength, "mask": mask, "repaint": repaint, "jump": jump}
        ways = {"invert": invert, "source": source, "between": between}
        asked = {"n": n, "prompt": text, "label": label, "negative": negative}
        return self._draw(sampling, asked | edits | ways, seed, batch_size)

    def _draw(self, sampling: Sampling, asked: Mapping[str, Any], seed: int, batch_size: int) -> Samples:
        fitted = sampling.fitted(self.model, self.spec)
        rows = request(self.model, self.spec, asked, fitted.guidance)
        drawn = replace(fitted, edit=rows.edit)
        x = generate(self.model, self.spec, drawn, rows.columns, range(rows.rows), seed, rows.negative, batch_size)
        return Samples(x, rows.columns, self.saved.drawing())

    def log_likelihood(
        self,
        x: Float[Tensor, " b *d"],
        text: str | Sequence[str | None] | None = None,
        label: int | str | Sequence[int | str | None] | None = None,
        density: Density = PLAIN,
        seed: int = 0,
        batch_size: int = 64,
    ) -> LogLikelihood:
        """Log p of each row of `x`, in nats per the data's own units, or of the probability of discrete data.

        `x` is in the data's own units; `text` and `label` are one for all rows, or one for each: where they are not
        given, or None, the model is told nothing. `density` says how it is computed; its noise and probes depend on
        `seed` and the row's place. Raises `DiffkitError` for rows that are none of these data, and for unknown
        conditions.
        """
        given = {name: value for name, value in (("text", text), ("label", label)) if value is not None}
        columns = {name: value if _is_list(value) else [value] * len(x) for name, value in given.items()}
        unknown = [name for name in columns if name not in self.model.conditioners.keys]
        if unknown:
            raise DiffkitError(f"{' and '.join(unknown)} means nothing to this model: leave it out")
        rows = checked_rows(x, columns, self.spec, "log_likelihood")
        with evaluating(self.model):
            return joined(
                density(self.model, self.spec, rows_of(rows, index), index.tolist(), seed)
                for index in torch.split(torch.arange(len(rows["x"])), batch_size)
            )

    def fit_grid(
        self, grid: FittedGrid | str = "optimised", steps: int | None = None, sampler: Sampler | str | None = None
    ) -> Grid:
        """A grid fitted to the model and the sampler once, for `sample(grid=...)` again and again.

        Raises `DiffkitError` for a grid that is not of that kind, or a sampler that it cannot be fitted to.
        """
        asked = self._sampling(sampler, grid, steps, None, None)
        if not isinstance(asked.grid, FittedGrid):
            raise DiffkitError(f"the grid {grid!r} needs no fit: it depends on the schedule alone; choose optimised")
        return asked.fitted(self.model, self.spec).grid

    def _each(self, n: int | None, text: Any, label: Any) -> dict[str, Any]:
        """One row for each sample, where a request counts samples for each prompt."""
        lists = {name: list(v) for name, v in (("text", text), ("label", label)) if _is_list(v)}
        for name, values in lists.items():
            if n is not None and len(values) != n:
                raise DiffkitError(f"{name} has {len(values)} entries for n={n}: give one for each sample")
        each = 1 if lists or n is None else n
        return {"n": each, "prompt": lists.get("text", text), "label": lists.get("label", label)}

    def _sampling(
        self,
        sampler: Sampler | str | None,
        grid: Grid | str | None,
        steps: int | None,
        guidance: Sequence[Guidance] | None,
        scale: float | None,
    ) -> Sampling:
        """The run's own choices, changed as asked; every value is checked as those of a command are."""
        if (steps is not None and isinstance(grid, Grid)) or (scale is not None and guidance is not None):
            raise DiffkitError("steps and scale change the run's own grid and guidance: set them in the objects given")
        asked = {"sampler": sampler, "grid": grid, "guidance": guidance}
        config = require(self.saved.config, [kind for kind, choice in asked.items() if choice is None])
        nodes = {kind: config[kind] or {} for kind in asked}
        nodes |= {kind: {"_part_": name} for kind, name in (("sampler", sampler), ("grid", grid)) if _is_name(name)}
        if steps is not None:
            nodes["grid"] = {**nodes["grid"], "steps": steps}
        if scale is not None:
            nodes["guidance"] = {name: {**node, "scale": scale} for name, node in nodes["guidance"].items()}
        chosen = Sampling(*build_sampling(nodes, self.spec, self.model.codec))
        return Sampling(
            sampler if isinstance(sampler, Sampler) else chosen.sampler,
            grid if isinstance(grid, Grid) else chosen.grid,
            chosen.guidance if guidance is None else guidance,
        )


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _is_name(choice: Any) -> bool:
    return isinstance(choice, str)


def load_model(
    path: str | Path, spec: DataSpec | None = None, ema: float | None = None, update: int | None = None
) -> Network:
    """The network that a run trained; see `diffkit.load_model`."""
    bundle = open_bundle(path) if ema is None and update is None else open_run(path, ema, update)
    others = _differences(bundle.spec, spec or bundle.spec)
    if others:
        raise DiffkitError(f"the model of {path} was trained on other data: {'; '.join(others)}")
    return bundle.model


def _differences(theirs: DataSpec, ours: DataSpec) -> list[str]:
    """What keeps the models of two kinds of data from seeing the same x_t."""
    a, b = theirs.to_dict(), ours.to_dict()
    kept = ("shape", "unit", "mean", "scale")
    return [f"{name} {a[name]} instead of {b[name]}" for name in kept if a[name] != b[name]]


def load(path: str | Path, ema: float | None = None, update: int | None = None) -> Pipeline:
    """Load a run or a bundle; `last` is the newest run in `runs/`.

    `ema` is the length of an average of the weights to use instead of the run's own, above 0 and at most 0.288, and
    `update` the moment of the training that it is of (by default the end); both need a run that kept snapshots
    (`callbacks=[progress,figures,saving,snapshots]`). Raises `DiffkitError` if there is none, if it is damaged, or if a
    part that it needs is not installed.
    """
    return Pipeline(open_run(path, ema, update))
