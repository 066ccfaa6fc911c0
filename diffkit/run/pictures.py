"""Pictures of a run: samples under their captions, and the film strip of samples emerging from noise."""

import math
from collections.abc import Sequence
from functools import cache
from io import BytesIO
from pathlib import Path

import torch
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from diffkit.core.data import KNOWN, DataSpec, Depicted, Drawing, rows_of
from diffkit.core.types import Batch
from diffkit.run.captions import caption, title
from diffkit.run.edit import GIVEN, SHARE
from diffkit.run.folder import write_bytes
from diffkit.run.generate import Film

_SIZE = 13
_COLUMNS = 8
_STARS = 8
"""How many samples a film shows."""
_ROWS, _FRAMES = 4, 9
"""How many of them the strip shows, and at how many times."""


def grid(data: Drawing, x: Float[Tensor, " b *d"], columns: Batch, limit: int = 64) -> Image.Image:
    """Samples in the data's own units under their captions, the first `limit` of them; it says so where there are more.

    One caption stands above all; a few that repeat have a column each; otherwise each sample has its own. Samples
    that are points (of one axis) share panels, one for each of the first captions.
    """
    captions = caption(columns, len(x), data.spec.class_names)
    before = _before(data.spec, columns)
    points = len(data.spec.shape) == 1
    if before is not None:
        return _both(data, before, x if points else x[:limit], captions, columns)
    groups: dict[str, list[int]] = {}
    for i, text in enumerate(captions):
        groups.setdefault(text, []).append(i)
    names = list(map(title, groups))
    if points:
        return _of(_panels(data, x, list(groups.values())[:_COLUMNS], names), _COLUMNS, len(names), "captions")
    if len(names) == 1:
        return _of(header(_tiles(data, x[:limit], columns), names[0]), limit, len(x))
    rows = min(map(len, groups.values()))
    if rows > 1 and len(names) <= 2 * _COLUMNS:
        rows = min(rows, max(1, limit // len(names)))
        lines = torch.tensor([[group[i] for group in groups.values()] for i in range(rows)])
        return _of(drawn(data, x[lines], columns, lines, names), rows * len(names), len(x))
    tiles = [drawn(data, x[line][None], columns, line, some) for line, some in _lines(captions, limit)]
    return _of(pile(tiles), limit, len(x))


def drawn(
    data: Drawing, x: Float[Tensor, "rows columns *d"], told: Batch, index: Tensor, titles: Sequence[str] = ()
) -> Image.Image:
    """`data.draw`; where the data ask what samples were told, that is the row of `told` that `index` has for each."""
    return (
        data.depict(x, rows_of(told, index.flatten()), titles) if isinstance(data, Depicted) else data.draw(x, titles)
    )


def _of(picture: Image.Image, shown: int, total: int, what: str = "samples") -> Image.Image:
    """The picture, under a line that says it if it does not show all."""
    return picture if shown >= total else header(picture, f"{shown} of {total} {what}")


def _lines(captions: Sequence[str], limit: int) -> list[tuple[Tensor, list[str]]]:
    """The rows of a picture: which samples stand in each, and their titles."""
    rows = torch.split(torch.arange(min(len(captions), limit)), _COLUMNS)
    return [(row, [title(captions[i]) for i in row.tolist()]) for row in rows]


def _before(spec: DataSpec, columns: Batch) -> Tensor | None:
    """What each sample was made of; unknown numbers are in the middle of the data's range. None if there is nothing."""
    if SHARE in columns or not (GIVEN in columns or "x" in columns):
        return None
    given: Tensor = columns[GIVEN] if GIVEN in columns else spec.restore(columns["x"])
    middle = sum(spec.mean) / len(spec.mean) if spec.low is None or spec.high is None else (spec.low + spec.high) / 2
    return given.where(columns[KNOWN], middle) if KNOWN in columns else given


def _both(data: Drawing, before: Tensor, x: Tensor, captions: Sequence[str], told: Batch) -> Image.Image:
    """Pictures in lines, each below what was given; points in two panels."""
    if len(data.spec.shape) == 1:
        return data.draw(torch.stack([before[: len(x)].to(x), x])[None], ["given", "samples"])
    lines = _lines(captions, len(x))
    pairs = [
        drawn(data, torch.stack([before[line].to(x), x[line]]), told, line.repeat(2), some) for line, some in lines
    ]
    return _of(pile(pairs), len(x), len(captions))


def strip(data: Drawing, film: Film) -> Image.Image:
    """The film strip: for each sample a row of x_t and one of the model's x_0 for it, from noise to the sample.

    It has a few of the film's samples and times. After Ho et al. (2020), "progressive generation". Points (samples of
    one axis) share one pair of rows; those in the plane and in space that are far outside the samples are left out.
    """
    index = torch.linspace(0, len(film.t) - 1, min(_FRAMES, len(film.t))).round().long().tolist()
    points = len(data.spec.shape) == 1
    some = slice(None) if points else slice(_ROWS)
    both = near(torch.stack([film.x_t, film.x_0])[:, index, some], film.x_t[-1, some], data.spec)
    # a row for each sample's x_t, and one for its x_0
    x = both if points else both.movedim(2, 0).flatten(0, 1)
    titles = [f"t = {film.t[i]:.2f}\nlog SNR {_logsnr(film.logsnr[i])}" for i in index]
    told = torch.arange(len(x) // 2).repeat_interleave(2 * len(titles))
    picture, plain = drawn(data, x, film.columns, told, titles), drawn(data, x, film.columns, told)
    return _beside(picture, ["xₜ", "x̂₀"] * (len(x) // 2), plain.height / len(x))


def near(x: Float[Tensor, "..."], last: Float[Tensor, " b *d"], spec: DataSpec) -> Float[Tensor, "..."]:
    """`x` with NaN at points that are over 1.15 times as far from the middle as any of `last`.

    So the axes suit the samples and not the noise. Points are rows of 2 values, or sets of them in 2 or 3 coordinates;
    other data are given back as they are.
    """
    if spec.shape != (2,) and not (len(spec.shape) == 2 and spec.shape[0] in (2, 3)):
        return x
    axis = -len(spec.shape)
    middle = last.movedim(axis, 0).flatten(1).nanmean(1).reshape(-1, *[1] * (len(spec.shape) - 1))
    far = (last - middle).square().sum(axis).nan_to_num(0.0).max()
    return x.masked_fill((x - middle).square().sum(axis, keepdim=True) > 1.15**2 * far, math.nan)


def stars(spec: DataSpec, columns: Batch, rows: int) -> list[int]:
    """The samples that the film shows, one for each of the first captions before others; or many points."""
    if len(spec.shape) == 1:
        return list(range(min(rows, 1000)))
    places: dict[str, int] = {}
    for i, text in enumerate(caption(columns, rows, spec.class_names)):
        places.setdefault(text, i)
    firsts = list(places.values())
    return (firsts + sorted(set(range(min(rows, _STARS))) - set(firsts)))[:_STARS]


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
    file = BytesIO()
    picture.save(file, format="PNG")
    write_bytes(path, file.getvalue())


def _tiles(data: Drawing, x: Tensor, told: Batch) -> Image.Image:
    """Pictures in a block about as wide as high; what is left free stays empty."""
    columns = min(len(x), max(_COLUMNS, math.isqrt(len(x) - 1) + 1))
    full = len(x) // columns * columns
    every = torch.arange(len(x))
    blocks = [every[:full].reshape(-1, columns), every[full:][None]]
    return pile([drawn(data, x[block], told, block) for block in blocks if block.numel()])


def _panels(data: Drawing, x: Tensor, groups: Sequence[Sequence[int]], names: Sequence[str]) -> Image.Image:
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
