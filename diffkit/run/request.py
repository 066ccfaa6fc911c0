"""What is asked for: prompts, labels and numbers, checked against what a model was trained with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from diffkit.core.conditioner import Conditioner
from diffkit.core.data import DataSpec, rows_of
from diffkit.core.errors import DiffkitError
from diffkit.core.guidance import Guidance
from diffkit.core.model import DiffusionModel
from diffkit.core.types import Batch
from diffkit.run.edit import TO, Edit, Interpolation
from diffkit.run.editing import editing, ends, refuse_two_targets
from diffkit.run.prompts import NAMES, against, any_told, labels_of, rows_for, spread, texts_of


@dataclass(frozen=True)
class Request:
    """The rows to draw: sample i has the i-th entry of each column, and i for its id."""

    rows: int
    columns: Batch
    negative: Batch | None
    edit: Edit | None = None


def request(model: DiffusionModel, spec: DataSpec, asked: Mapping[str, Any], guidance: Sequence[Guidance]) -> Request:
    """The rows for `n` samples of each prompt, label or given row of `asked`, the first one's first.

    Keys: those of `editing`; `between`; `n`; `prompt` (one or a list) or `prompts` (a file with one a line); `label`
    (one or a list); `negative` (a text or a label, or a list with an entry for each prompt). Prompts, labels and given
    rows together are taken in pairs; one of each goes with all of the others. In a list None stands for a sample that
    is told nothing there. Raises `DiffkitError` for what neither the model nor a guidance knows, for what a guidance
    needs and no sample gets, and for samples that are not told how many points they have.
    """
    n = 1 if asked.get("n") is None else asked["n"]
    if not isinstance(n, int) or isinstance(n, bool) or n < 1:
        raise DiffkitError(f"n={n}: give the number of samples, 1 or more")
    given = {"text": texts_of(asked), "label": labels_of(asked.get("label"), spec)}
    told = {name: entries for name, entries in given.items() if entries is not None}
    _refuse_unknown(model, guidance, told)
    _refuse_missing(guidance, told)
    _refuse_uncounted(model, told)
    edited = editing(model, spec, asked)
    negative = _negative(model, spec, asked.get("negative"), bool(guidance))
    if asked.get("between") is not None:
        columns = ends(edited, asked, told)
        refuse_two_targets(guidance, columns)
        rows = int(asked["between"])
        return Request(rows, columns, rows_for(negative, rows, 1, "negative") or None, Interpolation())
    several = max(*map(len, told.values()), edited.rows) if told else edited.rows
    index = torch.tensor(spread(range(edited.rows), several, "input")).repeat_interleave(n)
    columns = {**rows_for(told, several, n), **rows_of(edited.columns, index)}
    columns |= _source(model, spec, asked.get("source"), several, n)
    refuse_two_targets(guidance, columns)
    return Request(several * n, columns, rows_for(negative, several, n, "negative") or None, edited.edit)


def _refuse_unknown(model: DiffusionModel, guidance: Sequence[Guidance], given: Mapping[str, Sequence[Any]]) -> None:
    """Raise `DiffkitError` for a condition that the model was not trained with, and no guidance reads."""
    known = {*model.conditioners.keys, *(key for g in guidance for key in g.reads)}
    for key, entries in given.items():
        if any_told(entries) and key not in known:
            raise DiffkitError(f"{NAMES[key]} means nothing to this model, which {_conditioned(model)}")


def _refuse_missing(guidance: Sequence[Guidance], given: Mapping[str, Sequence[Any]]) -> None:
    """Raise `DiffkitError` for a guidance that is told of no sample what it should steer it towards."""
    for part in guidance:
        for key in part.reads:
            if not any_told(given.get(key)):
                name = NAMES.get(key, key)
                raise DiffkitError(f"{type(part).__name__} steers towards a {name}, and there is none: give {name}=...")


def _refuse_uncounted(model: DiffusionModel, given: Mapping[str, Sequence[Any]]) -> None:
    """Raise `DiffkitError` for samples that are not told which of their places there are, where a condition says so."""
    for part in model.conditioners.parts:
        assert isinstance(part, Conditioner)  # a ModuleList does not say so
        if part.spec.present and part.key in NAMES and None in given.get(part.key, [None]):
            name = NAMES[part.key]
            raise DiffkitError(
                f"{type(part).__name__} reads off a {name} how many points a sample has, and there is none: "
                f"give {name}=... for every sample"
            )


def _conditioned(model: DiffusionModel) -> str:
    keys = model.conditioners.keys
    if not keys:
        return "is unconditional: leave it out"
    use = " or ".join(f"{NAMES[key]}=..." if key in NAMES else key for key in keys)
    return f"was trained with {' and '.join(keys)} alone: use {use}"


def _negative(model: DiffusionModel, spec: DataSpec, value: Any, guided: bool) -> dict[str, list[Any]]:
    """The entries of the columns that take the null's place; none where it keeps it."""
    if value is None:
        return {}
    if not guided:
        raise DiffkitError("negative does nothing without guidance: choose one with guidance=[...]")
    return _against(model, spec, "negative", value)


def _source(model: DiffusionModel, spec: DataSpec, value: Any, several: int, n: int) -> Batch:
    """The columns of what the given rows are, where that is not what they are to be."""
    entries = {} if value is None else _against(model, spec, "source", value)
    return {name + TO: column for name, column in rows_for(entries, several, n, "source").items()}


def _against(model: DiffusionModel, spec: DataSpec, name: str, value: Any) -> dict[str, list[Any]]:
    keys = model.conditioners.keys
    if not set(keys) & set(NAMES):
        raise DiffkitError(f"{name} means nothing to this model, which {_conditioned(model)}")
    return against(keys, spec, name, value)
