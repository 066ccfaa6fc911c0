"""Pictures of a run: samples under their captions, and the film strip of samples emerging from noise."""

import math
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from diffkit.core.data import KNOWN, Data, DataSpec
from diffkit.core.errors import DiffkitError
from diffkit.core.types import Batch
from diffkit.run.captions import caption, title
from diffkit.run.edit import GIVEN, SHARE
from diffkit.run.generate import Film

_SIZE = 13
_COLUMNS = 8


def grid(data: Data, x: Float[Tensor, " b *d"], columns: Batch, limit: int = 64) -> Image.Image:
    """Samples in the data's own units under their captions, the first `limit` of them; it says so where there are more.

    One caption stands above all; a few that repeat have a column each; otherwise each sample has its own. Samples
    that are points (of one axis) share panels, one for each of the first captions.
    """
    captions = caption(columns, len(x), data.spec.class_names)
    before = _before(data.spec, columns)
    points = len(data.spec.shape) == 1
    if before is not None:
        return _both(data, before, x if points else x[:limit], captions)
    groups: dict[str, list[int]] = {}
    for i, text in enumerate(captions):
        groups.setdefault(text, []).append(i)
    names = list(map(title, groups))
    if points:
        return _of(_panels(data, x, list(groups.values())[:_COLUMNS], names), _COLUMNS, len(names), "captions")
    if len(names) == 1:
        return _of(header(_tiles(data, x[:limit]), names[0]), limit, len(x))
    rows = min(map(len, groups.values()))
    if rows > 1 and len(names) <= 2 * _COLUMNS:
        rows = min(rows, max(1, limit // len(names)))
        lines = [x[[group[i] for group in groups.values()]] for i in range(rows)]
        return _of(data.draw(torch.stack(lines), names), rows * len(names), len(x))
    return _of(pile([data.draw(x[line][None], some) for line, some in _lines(captions, limit)]), limit, len(x))


def _of(picture: Image.Image, shown: int, total: int, what: str = "samples") -> Image.Image:
    """The picture, under a line that says it if it does not show all."""
    return picture if shown >= total else header(picture, f"{shown} of {total} {what}")


def _lines(captions: Sequence[str], limit: int) -> list[tuple[slice, list[str]]]:
    """The rows of a picture: which samples stand in each, and their titles."""
    rows = [slice(i, min(i + _COLUMNS, limit)) for i in range(0, min(len(captions), limit), _COLUMNS)]
    return [(row, list(map(title, captions[row]))) for row in rows]


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
    lines = _lines(captions, len(x))
    pairs = [data.draw(torch.stack([before[line].to(x), x[line]]), some) for line, some in lines]
    return _of(pile(pairs), len(x), len(captions))


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
    places: dict[str, int] = {}
    for i, text in enumerate(caption(columns, rows, spec.class_names)):
        places.setdefault(text, i)
    firsts = list(places.values())[:4]
    others = [i for i in range(min(rows, 4)) if i not in firsts]
    return sorted((firsts + others)[:4])


def header(picture: Image.Image, text: str) -> Image.Image:
    """The picture with a line of text above it, cut where it is too long."""
    if not text:
        return picture
    width = max(picture.width, 160)
    text = text[:width]  # no letter is narrower than a pixel
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
    titles = names[: len(groups)] if any(names) else []
    return data.draw(torch.stack([x[list(group[:n])] for group in groups])[None], titles)


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
