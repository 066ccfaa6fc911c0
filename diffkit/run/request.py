"""What is asked for: prompts, labels and numbers, checked against what a model was trained with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from diffkit.core.data import DataSpec, rows_of
from diffkit.core.errors import DiffkitError
from diffkit.core.guidance import Guidance
from diffkit.core.model import DiffusionModel
from diffkit.core.types import Batch
from diffkit.run.edit import TO, Edit, Interpolation
from diffkit.run.editing import editing, ends, refuse_two_targets


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
    (one or a list); `negative` (a text, or a label for models without text). Prompts, labels and given rows together
    are taken in pairs; one of each goes with all of the others. Raises `DiffkitError` for what neither the model nor a
    guidance knows, and for what a guidance needs and does not get.
    """
    n = 1 if asked.get("n") is None else asked["n"]
    if not isinstance(n, int) or isinstance(n, bool) or n < 1:
        raise DiffkitError(f"n={n}: give the number of samples, 1 or more")
    texts, labels = _texts(asked), _labels(asked.get("label"), spec)
    given = {"text": texts, "label": labels}
    _refuse_unknown(model, guidance, given)
    _refuse_missing(guidance, given)
    edited = editing(model, spec, asked)
    negative, guided = asked.get("negative"), bool(guidance)
    if asked.get("between") is not None:
        columns = ends(edited, asked, given)
        refuse_two_targets(guidance, columns)
        rows = int(asked["between"])
        return Request(rows, columns, _negative(model, spec, negative, rows, guided), Interpolation())
    several = max(len(texts or [""]), len(labels or [0]), edited.rows)
    columns = {}
    if texts is not None:
        columns["text"] = [text for text in _spread(texts, several, "prompt") for _ in range(n)]
    if labels is not None:
        columns["label"] = torch.tensor(_spread(labels, several, "label")).repeat_interleave(n)
    index = torch.tensor(_spread(list(range(edited.rows)), several, "input")).repeat_interleave(n)
    columns |= rows_of(edited.columns, index)
    columns |= _source(model, spec, asked.get("source"), several * n)
    refuse_two_targets(guidance, columns)
    return Request(several * n, columns, _negative(model, spec, negative, several * n, guided), edited.edit)


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]


def _texts(asked: Mapping[str, Any]) -> list[str] | None:
    """The prompts, or None where there is none."""
    prompt, file = asked.get("prompt"), asked.get("prompts")
    if prompt is None and file is None:
        return None
    if prompt is not None and file is not None:
        raise DiffkitError("prompt and prompts are both given: leave one out")
    texts = _read(Path(str(file)).expanduser()) if file is not None else [str(text) for text in _listed(prompt)]
    if not texts or not all(text.strip() for text in texts):
        raise DiffkitError("a prompt is empty: leave prompt out for samples that are not asked to be anything")
    return texts


def _read(path: Path) -> list[str]:
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise DiffkitError(f"prompts={path} cannot be read: {why}") from error
    if not any(lines):
        raise DiffkitError(f"prompts={path} holds no prompt: write one a line")
    return [line for line in lines if line]


def _labels(value: Any, spec: DataSpec) -> list[int] | None:
    """The labels, or None where there is none; each must be a class of the data."""
    if value is None:
        return None
    labels = _listed(value)
    classes = spec.conditions.get("label")
    for label in labels:
        if not isinstance(label, int) or isinstance(label, bool):
            raise DiffkitError(f"label={label}: give a whole number, or a list of them")
        if classes is not None and not 0 <= label < classes:
            raise DiffkitError(f"label={label} is not a class of the data: give a number from 0 to {classes - 1}")
    if not labels:
        raise DiffkitError("label is an empty list: give a number, or leave it out")
    return labels


_NAMES = {"text": "prompt", "label": "label"}
"""How a column is asked for."""


def _refuse_unknown(model: DiffusionModel, guidance: Sequence[Guidance], given: Mapping[str, object]) -> None:
    """Raise `DiffkitError` for a condition that the model was not trained with, and no guidance reads."""
    known = {*model.conditioners.keys, *(key for g in guidance for key in g.reads)}
    for key, value in given.items():
        if value is not None and key not in known:
            raise DiffkitError(f"{_NAMES[key]} means nothing to this model, which {_conditioned(model)}")


def _refuse_missing(guidance: Sequence[Guidance], given: Mapping[str, object]) -> None:
    """Raise `DiffkitError` for a guidance that is not told what it should steer towards."""
    for part in guidance:
        for key in part.reads:
            if given.get(key) is None:
                name = _NAMES.get(key, key)
                raise DiffkitError(f"{type(part).__name__} steers towards a {name}, and there is none: give {name}=...")


def _conditioned(model: DiffusionModel) -> str:
    keys = model.conditioners.keys
    if not keys:
        return "is unconditional: leave it out"
    use = " or ".join(f"{_NAMES[key]}=..." if key in _NAMES else key for key in keys)
    return f"was trained with {' and '.join(keys)} alone: use {use}"


def _spread(values: list[Any], several: int, name: str) -> list[Any]:
    if len(values) not in (1, several):
        raise DiffkitError(f"{name} has {len(values)} values beside {several}: give as many of both, or one")
    return values * (several // len(values))


def _negative(model: DiffusionModel, spec: DataSpec, value: Any, rows: int, guided: bool) -> Batch | None:
    """The column that takes the null's place, or None."""
    if value is None:
        return None
    if not guided:
        raise DiffkitError("negative does nothing without guidance: choose one with guidance=[...]")
    return _one(model, spec, "negative", value, rows)


def _source(model: DiffusionModel, spec: DataSpec, value: Any, rows: int) -> Batch:
    """The column of what the given rows are, where that is not what they are to be."""
    if value is None:
        return {}
    return {name + TO: column for name, column in _one(model, spec, "source", value, rows).items()}


def _one(model: DiffusionModel, spec: DataSpec, key: str, value: Any, rows: int) -> Batch:
    """The same text, or the same label for models without text, in every row."""
    if "text" in model.conditioners.keys:
        return {"text": [str(value)] * rows}
    if "label" not in model.conditioners.keys:
        raise DiffkitError(f"{key} means nothing to this model, which {_conditioned(model)}")
    labels = _labels(value, spec) or []
    if len(labels) != 1:
        raise DiffkitError(f"{key}={value}: give one label")
    return {"label": torch.tensor(labels * rows)}
