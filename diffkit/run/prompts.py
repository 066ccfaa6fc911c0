"""Prompts, labels and negatives, as they are asked for: None is a sample that is told nothing."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from diffkit.core.data import DataSpec
from diffkit.core.errors import DiffkitError, nearest

NAMES = {"text": "prompt", "label": "label"}
"""How a column is asked for."""
_Entry = TypeVar("_Entry")


def texts_of(asked: Mapping[str, Any]) -> list[str | None] | None:
    """The entries of `prompt`, or the lines of the file `prompts`; None where neither is given.

    Raises `DiffkitError` for a file that cannot be read, and for what is no prompt.
    """
    prompt, file = asked.get("prompt"), asked.get("prompts")
    if prompt is not None and file is not None:
        raise DiffkitError("prompt and prompts are both given: leave one out")
    if file is not None:
        return [_text(line, f"prompts={file}") for line in _lines(Path(str(file)).expanduser())]
    if prompt is None:
        return None
    texts = [None if entry is None else _text(entry, "prompt") for entry in listed(prompt)]
    if not texts:
        raise DiffkitError("prompt is an empty list: give a text, or leave it out")
    return texts


def labels_of(value: Any, spec: DataSpec, name: str = "label") -> list[int | None] | None:
    """The entries of a label or a list of them, numbers or names of classes, as numbers; None where there is none.

    Raises `DiffkitError` for what is not a class of the data.
    """
    if value is None:
        return None
    labels = [None if entry is None else _label(entry, spec, name) for entry in listed(value)]
    if not labels:
        raise DiffkitError(f"{name} is an empty list: give a class, or leave it out")
    return labels


def against(keys: Sequence[str], spec: DataSpec, name: str, value: Any) -> dict[str, list[Any]]:
    """The columns of a `negative` or a `source`: a text, a label, or a list with an entry for each prompt.

    A number is a label where the model knows labels, and a text elsewhere; so is the name of a class where the model
    reads no text. A column that no entry speaks of is left out. Raises `DiffkitError` for what the model does not know.
    """
    texts: list[str | None] = []
    labels: list[int | None] = []
    for entry in listed(value):
        number = "label" in keys and _is_whole(entry)
        worded = entry is not None and "text" in keys and not number
        texts.append(_text(entry, name) if worded else None)
        labels.append(None if worded or entry is None else _label(entry, spec, name))
    columns: dict[str, list[Any]] = {"text": texts, "label": labels}
    return {key: entries for key, entries in columns.items() if any_told(entries)}


def any_told(entries: Sequence[Any] | None) -> bool:
    """Whether any entry says something."""
    return entries is not None and any(entry is not None for entry in entries)


def rows_for(columns: Mapping[str, Sequence[Any]], several: int, n: int, asked_as: str | None = None) -> dict[str, Any]:
    """The columns with each entry `n` times; one entry goes with all of `several`, and silent columns are left out.

    `asked_as` is the key that they were given by, where that is not their own.
    """
    each = {name: spread(entries, several, asked_as or NAMES[name]) for name, entries in columns.items()}
    repeated = {name: [entry for entry in entries for _ in range(n)] for name, entries in each.items()}
    return {name: column(name, entries) for name, entries in repeated.items() if any_told(entries)}


def column(name: str, entries: Sequence[Any]) -> Tensor | list[Any]:
    """A column of a batch: labels as numbers, -1 where there is none; texts as a list."""
    return torch.tensor([-1 if entry is None else entry for entry in entries]) if name == "label" else list(entries)


def spread(values: Sequence[_Entry], several: int, name: str) -> list[_Entry]:
    """As many values as `several`; raises `DiffkitError` unless there are as many, or one."""
    if len(values) not in (1, several):
        raise DiffkitError(f"{name} has {len(values)} values beside {several}: give as many of both, or one")
    return [*values] * (several // len(values))


def listed(value: Any) -> list[Any]:
    """A list of one value, or of the values of a list, a tuple, an array or a tensor."""
    if isinstance(value, Tensor | np.ndarray):
        value = value.tolist()
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]


def _text(value: Any, name: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise DiffkitError(
            f"{name}={value!r:.80}: give text, a list of texts, or null for samples that are told nothing"
        )
    text = str(value)
    if not text.strip():
        raise DiffkitError("a prompt is empty: give null for samples that are told nothing, or leave prompt out")
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise DiffkitError(f"{name}={text[:80]!r} is not text: it was made of bytes that are not UTF-8")
    return text


def _label(value: Any, spec: DataSpec, name: str) -> int:
    classes = spec.conditions.get("label")
    if isinstance(value, str) and spec.class_names:
        if value not in spec.class_names:
            raise DiffkitError(f"{name}={value:.80} is not a class of the data: {nearest(value, spec.class_names)}")
        return spec.class_names.index(value)
    if not _is_whole(value):
        raise DiffkitError(f"{name}={value!s:.80}: give a whole number, or a list of them, with null for none")
    if classes is not None and not 0 <= value < classes:
        raise DiffkitError(f"{name}={value} is not a class of the data: give a number from 0 to {classes - 1}")
    return int(value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _lines(path: Path) -> list[str]:
    """The lines that are not blank."""
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").split("\n")]
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise DiffkitError(f"prompts={path} cannot be read: {why}") from error
    if not any(lines):
        raise DiffkitError(f"prompts={path} holds no prompt: write one a line")
    return [line for line in lines if line]
