"""Pictures of a run: samples under their captions, and the film strip of samples emerging from noise."""

import math
import os
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from diffkit.core.data import Data, DataSpec
from diffkit.core.errors import DiffkitError
from diffkit.core.types import Batch
from diffkit.run.edit import GIVEN, KNOWN, SHARE
from diffkit.run.generate import Film

_SIZE = 13
_COLUMNS = 8


def grid(data: Data, x: Float[Tensor, " b *d"], columns: Batch, limit: int = 64) -> Image.Image:
    """Samples in the data's own units under their captions, the first `limit` of them.

    One caption stands above all; a few that repeat have a column each; otherwise each sample has its own. Samples
    that are points (of one axis) share panels, one for each caption.
    """
    captions = caption(columns, len(x))
    before = _before(data.spec, columns)
    if before is not None:
        return _both(data, before, x if len(data.spec.shape) == 1 else x[:limit], captions)
    names = list(dict.fromkeys(captions))
    groups = [[i for i, c in enumerate(captions) if c == name] for name in names]
    if len(data.spec.shape) == 1:
        return _panels(data, x, groups[:_COLUMNS], names)
    if len(names) == 1:
        return header(_tiles(data, x[:limit]), names[0])
    rows = min(map(len, groups))
    if rows > 1 and len(names) <= 2 * _COLUMNS:
        rows = min(rows, max(1, limit // len(names)))
        return data.draw(torch.stack([x[[group[i] for group in groups]] for i in range(rows)]), names)
    lines = [slice(i, i + _COLUMNS) for i in range(0, min(len(x), limit), _COLUMNS)]
    return pile([data.draw(x[line][None], captions[line]) for line in lines])


def _before(spec: DataSpec, columns: Batch) -> Tensor | None:
    """What each sample was made of; unknown numbers are in the middle of the data's range. None if there is nothing."""
    if SHARE in columns or not (GIVEN in columns or "x" in columns):
        return None
    given: Tensor = columns[GIVEN] if GIVEN in columns else spec.restore(columns["x"])
    middle = sum(spec.mean) / len(spec.mean) if spec.low is None or spec.high is None else (spec.low + spec.high) / 2
    return given.where(columns[KNOWN], middle) if KNOWN in columns else given


def _both(data: Data, before: Tensor, x: Tensor, captions: Sequence[str]) -> Image.Image:
    """Pictures in lines, each below what was given; points in two panels."""
    if len(data.spec.shape) == 1:
        return data.draw(torch.stack([before[: len(x)].to(x), x])[None], ["given", "samples"])
    lines = [slice(i, i + _COLUMNS) for i in range(0, len(x), _COLUMNS)]
    return pile([data.draw(torch.stack([before[line].to(x), x[line]]), captions[line]) for line in lines])


def strip(data: Data, film: Film) -> Image.Image:
    """The film strip: for each sample a row of x_t and one of the model's x_0 for it, from noise to the sample.

    After Ho et al. (2020), "progressive generation". Points (samples of one axis) share one pair of rows.
    """
    b = film.x_t.shape[1]
    both = torch.stack([film.x_t, film.x_0])
    points = len(data.spec.shape) == 1
    x = (
        both
        if points
        else both.permute(2, 0, 1, *range(3, both.ndim)).reshape(2 * b, *both.shape[1:2], *both.shape[3:])
    )
    titles = [f"t = {t:.2f}\nlog SNR {_logsnr(value)}" for t, value in zip(film.t, film.logsnr, strict=True)]
    picture, plain = data.draw(x, titles), data.draw(x)
    return _beside(picture, ["xₜ", "x̂₀"] * (1 if points else b), plain.height / len(x))


def stars(spec: DataSpec, columns: Batch, rows: int) -> list[int]:
    """The samples that the film strip shows: one for each of the first captions, or many points."""
    if len(spec.shape) == 1:
        return list(range(min(rows, 1000)))
    captions = caption(columns, rows)
    firsts = [captions.index(name) for name in dict.fromkeys(captions)]
    others = [i for i in range(min(rows, 4)) if i not in firsts]
    return sorted((firsts + others)[:4])


def caption(columns: Mapping[str, Any], rows: int) -> list[str]:
    """What each row was conditioned on, in words: its text, else its other conditions."""

    def one(i: int) -> str:
        values = {name: column[i] for name, column in columns.items() if name != "x"}
        text = values.get("text")
        if text is not None:
            return str(text)
        plain = {name: v.item() if isinstance(v, Tensor) and v.ndim == 0 else v for name, v in values.items()}
        return ", ".join(f"{name} {v}" for name, v in plain.items() if isinstance(v, int | str) and v != -1)

    return [one(i) for i in range(rows)]


def header(picture: Image.Image, text: str) -> Image.Image:
    """The picture with a line of text above it, cut where it is too long."""
    if not text:
        return picture
    width = max(picture.width, 160)
    while text and _font().getlength(text) > width - 8:
        text = text[:-2].rstrip("…") + "…"
    canvas = Image.new("RGB", (width, picture.height + _SIZE + 11), "white")
    canvas.paste(picture, ((width - picture.width) // 2, _SIZE + 11))
    ImageDraw.Draw(canvas).text((width / 2, 5), text, fill="black", font=_font(), anchor="ma")
    return canvas


def pile(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures one above the other."""
    canvas = Image.new("RGB", (max(p.width for p in pictures), sum(p.height for p in pictures)), "white")
    top = 0
    for picture in pictures:
        canvas.paste(picture, (0, top))
        top += picture.height
    return canvas


def save(picture: Image.Image, path: Path) -> None:
    """Write a PNG so that a reader sees the old file or the new one, never a part."""
    temporary = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        picture.save(temporary, format="PNG")
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise DiffkitError(f"cannot write {path}: {error.strerror or error}") from error


def _tiles(data: Data, x: Tensor) -> Image.Image:
    """Pictures in a block about as wide as high; what is left free stays empty."""
    columns = min(len(x), max(_COLUMNS, math.isqrt(len(x) - 1) + 1))
    full = len(x) // columns * columns
    parts = [data.draw(x[:full].reshape(-1, columns, *x.shape[1:]))] if full else []
    return pile([*parts, data.draw(x[full:][None])] if full < len(x) else parts)


def _panels(data: Data, x: Tensor, groups: Sequence[Sequence[int]], names: Sequence[str]) -> Image.Image:
    """One panel for each caption; all with as many points as the least frequent one has."""
    n = min(map(len, groups))
    return data.draw(torch.stack([x[list(group[:n])] for group in groups])[None], [n for n in names if n])


def _logsnr(value: float) -> str:
    return f"{round(value, 1) + 0.0:.1f}".replace("inf", "∞")  # + 0.0: no minus before zero


def _beside(picture: Image.Image, labels: Sequence[str], height: float) -> Image.Image:
    """The picture with a label to the left of each of its last rows, which are `height` high."""
    margin = 8 + math.ceil(max(_font().getlength(label) for label in labels))
    canvas = Image.new("RGB", (picture.width + margin, picture.height), "white")
    canvas.paste(picture, (margin, 0))
    draw = ImageDraw.Draw(canvas)
    for i, label in enumerate(labels):
        middle = picture.height - (len(labels) - i - 0.5) * height
        draw.text((margin - 4, middle), label, fill="black", font=_font(), anchor="rm")
    return canvas


@cache
def _font() -> ImageFont.FreeTypeFont:
    import matplotlib

    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), _SIZE)
