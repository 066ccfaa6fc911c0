"""What is asked to be edited, and how: the keys of a request, as an edit and the columns that it reads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_type_hints

import torch

from diffkit.compose.build import latent_shape
from diffkit.compose.keys import Sample
from diffkit.compose.values import convert
from diffkit.core.data import KNOWN, DataSpec
from diffkit.core.errors import DiffkitError
from diffkit.core.guidance import Guidance
from diffkit.core.model import DiffusionModel
from diffkit.core.types import Batch
from diffkit.run.edit import (
    GIVEN,
    SHARE,
    TO,
    Edit,
    ImageToImage,
    Inpainting,
    Inversion,
    Variations,
)
from diffkit.run.given import drawn_mask, given_rows
from diffkit.run.prompts import any_told, column

NUMBERS = ("strength", "repaint", "jump", "invert", "between", "vary", "variation")
VARIATION = 0.3
"""How far variations go unless one says otherwise."""


@dataclass(frozen=True)
class Editing:
    """An edit, and what it reads: columns with one entry for each given row."""

    edit: Edit | None = None
    columns: Batch = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """The number of given rows; 1 where there are none."""
        return max((len(column) for column in self.columns.values()), default=1)


def editing(model: DiffusionModel, spec: DataSpec, asked: Mapping[str, Any]) -> Editing:
    """What is asked for by the keys `input`, `strength`, `mask`, `repaint`, `jump`, `invert`, `vary`, `variation`.

    Raises `DiffkitError` for two edits at once, for one without what it needs, and for rows and masks that do not fit.
    """
    hints = get_type_hints(Sample, include_extras=True)
    asked = {**asked, **{key: convert(key, asked[key], hints[key]) for key in NUMBERS if asked.get(key) is not None}}
    kinds = [key for key in ("strength", "mask", "invert", "between", "vary") if asked.get(key) is not None]
    if len(kinds) > 1:
        raise DiffkitError(f"{' and '.join(kinds)} are different edits: ask for one of them")
    kind = kinds[0] if kinds else None
    _refuse_alone(asked, kind)
    if kind == "vary":
        amount = asked.get("variation")
        return Editing(Variations(asked["vary"], VARIATION if amount is None else amount))
    if asked.get("input") is None:
        return Editing()
    reads_x = "x" in model.conditioners.keys
    x = given_rows(asked["input"], spec, smaller=reads_x)
    if kind in (None, "mask") and (kind == "mask" or bool(x.isnan().any())):
        return _inpainting(model, spec, asked, x)
    if bool(x.isnan().any()):
        raise DiffkitError(f"input has missing numbers (NaN), which {kind} cannot begin from: fill them first")
    columns: dict[str, Any] = {"x": spec.standardise(x).float()} if reads_x else {}
    if kind is None and not reads_x:
        raise DiffkitError("input is given, and nothing to do with it: ask for strength, mask, invert or between")
    if kind is None:
        return Editing(None, columns)
    made = {"strength": ImageToImage, "invert": Inversion}.get(kind)
    return Editing(made(asked[kind]) if made else None, {**columns, GIVEN: x})


def _refuse_alone(asked: Mapping[str, Any], kind: str | None) -> None:
    """Raise `DiffkitError` for a key that does nothing without another."""
    needs = {"strength": "input", "mask": "input", "invert": "input", "source": "invert", "variation": "vary"}
    for key, other in needs.items():
        if asked.get(key) is not None and asked.get(other) is None:
            raise DiffkitError(f"{key} does nothing without {other}: give {other}=...")
    if kind == "vary" and asked.get("input") is not None:
        raise DiffkitError("vary makes variations of a sample, input is none: use strength=... for those of an input")
    inpaints = asked.get("mask") is not None or (kind is None and asked.get("input") is not None)
    for key in ("repaint", "jump"):
        if asked.get(key) is not None and not inpaints:
            raise DiffkitError(f"{key} belongs to inpainting: give input=... and mask=...")


def _inpainting(model: DiffusionModel, spec: DataSpec, asked: Mapping[str, Any], x: torch.Tensor) -> Editing:
    if latent_shape(model.codec, spec) != tuple(spec.shape):
        raise DiffkitError("inpainting needs a model of the data themselves: this one's codec changes their shape")
    missing = x.isnan()
    mask = asked.get("mask")
    drawn = missing if mask is None else drawn_mask(mask, spec, len(x)) | missing
    rows = drawn.flatten(1)
    for wrong, why in ((rows.all(1), "has nothing known"), (~rows.any(1), "has nothing missing")):
        if bool(wrong.any()):
            raise DiffkitError(f"row {int(wrong.nonzero()[0])} of input {why}: leave it out of what is inpainted")
    repeats, jump = asked.get("repaint"), asked.get("jump")
    edit = Inpainting(**{key: value for key, value in (("repeats", repeats), ("jump", jump)) if value is not None})
    return Editing(edit, {GIVEN: x, KNOWN: ~drawn})


def ends(given: Editing, asked: Mapping[str, Any], conditions: Mapping[str, Sequence[Any]]) -> Batch:
    """The columns of an interpolation in `between` samples: of two given rows, two values of a condition, or both.

    Raises `DiffkitError` where there is nothing to go between.
    """
    count, columns = asked["between"], dict[str, Any]()
    if count < 2:
        raise DiffkitError(f"between={count}: give the number of samples from one end to the other, 2 or more")
    if asked.get("n") not in (None, 1):
        raise DiffkitError(f"n={asked['n']} and between={count}: between is the number of samples, so leave n out")
    several: dict[str, Sequence[Any]] = {name: entries for name, entries in conditions.items() if any_told(entries)}
    if GIVEN in given.columns:
        several[GIVEN] = list(given.columns[GIVEN])
    sizes = {name: len(values) for name, values in several.items()}
    if 2 not in sizes.values() or max(sizes.values()) > 2 or sizes.get(GIVEN, 2) != 2:
        said = ", ".join(f"{size} {'rows of input' if name == GIVEN else name}" for name, size in sizes.items())
        raise DiffkitError(f"between goes from one of two to the other: give two rows, prompts or labels, not {said}")
    for name, values in several.items():
        for suffix, value in (("", values[0]), (TO, values[-1])):
            rows = [value] * count
            columns[name + suffix] = torch.stack(rows) if name == GIVEN else column(name, rows)
    return {**columns, SHARE: torch.linspace(0, 1, count, dtype=torch.float64)}


def refuse_two_targets(guidance: Sequence[Guidance], columns: Batch) -> None:
    """Raise `DiffkitError` for a guidance that steers towards what is another at the other end."""
    for part in guidance:
        if any(key + TO in columns for key in part.reads):
            raise DiffkitError(f"{type(part).__name__} steers towards one {part.reads[0]}, and there are two: leave it")
