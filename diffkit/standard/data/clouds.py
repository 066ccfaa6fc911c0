"""Drawing helper for point sets: clouds of points in space or in the plane, and the bonds between them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from PIL import Image, ImageDraw
from torch import Tensor

from diffkit.core.errors import DiffkitError
from diffkit.standard.data.canvas import font, tiled

TILE = 132
FINE = 3
"""A tile is drawn this many times larger, and then made smaller: its edges are smooth."""
AZIMUTH, ELEVATION = math.radians(-55), math.radians(22)
"""Where points in space are seen from; the third axis points up."""
PAPER, INK, PALE = (246, 247, 249), (24, 72, 122), 0.75
"""A tile's colour, that of a point, and how far the points that are farthest away fade into the paper."""

Rgb = tuple[int, ...]
Bonds = Sequence[Sequence[tuple[int, int]]]


def cloud_grid(
    x: Float[Tensor, "rows columns d n"],
    titles: Sequence[str] = (),
    unit: str = "",
    colours: Int[Tensor, "rows columns n 3"] | None = None,
    radii: Float[Tensor, "rows columns n"] | None = None,
    bonds: Bonds = (),
    tile: int = TILE,
) -> Image.Image:
    """Sets of points in 3 or 2 coordinates, one a tile, all on one scale about one middle.

    Points in space are seen from a fixed side without perspective; near points hide far ones, which are paler and
    smaller. Points that are not finite are left out. A bar says how long a length in `unit` is, if there is one.
    `colours` are red, green and blue from 0 to 255; `radii` are in the unit of `x` (None: as suits their number);
    `bonds` are the pairs of points to be joined, for each cloud, row by row; a tile is `tile` pixels wide. Raises
    `DiffkitError` for other coordinates.
    """
    rows, columns, d, n = x.shape
    if d not in (2, 3):
        raise DiffkitError(f"a point has 2 or 3 coordinates, not {d}: give the data part a `draw` of its own")
    seen = _seen(x.double().cpu()).flatten(0, 1)
    there = seen.isfinite().all(1)
    size = torch.zeros(len(seen), n) if radii is None else radii.double().cpu().flatten(0, 1)
    middle, half = _frame(seen, there, size)
    scale, near = tile / 2 / half, _nearness(seen[:, 2], there)
    places = (seen[:, :2] - middle[:, None]) * torch.tensor([[scale], [-scale]]) + tile / 2
    usual = min(2.8, max(0.9, 22 / math.sqrt(max(1, n)))) * tile / TILE
    shown = size * scale if radii is not None else usual * (0.75 + 0.45 * near if d == 3 else torch.ones_like(near))
    chosen = torch.tensor(INK).expand(len(seen), n, 3) if colours is None else colours.cpu().flatten(0, 1)
    tiles = []
    for i in range(len(seen)):
        points = _points(places[i].T, shown[i], near[i], chosen[i], there[i])
        picture = _tile(points, bonds[i] if bonds else (), tile, balls=radii is not None, veil=d == 2)
        tiles.append(_bar(picture, scale, unit) if unit and i % columns == 0 else picture)
    return tiled([tiles[i * columns : (i + 1) * columns] for i in range(rows)], titles)


@dataclass(frozen=True)
class _Point:
    """A point on its tile, in pixels; `near` is 1 for the nearest of all and 0 for the farthest."""

    x: float
    y: float
    radius: float
    near: float
    colour: Rgb


def _points(places: Tensor, radii: Tensor, near: Tensor, colours: Tensor, there: Tensor) -> list[_Point | None]:
    """The points of one cloud; None for those that are not there."""
    every = zip(*(column.tolist() for column in (places, radii, near, colours, there)), strict=True)
    return [_Point(x, y, radius, close, tuple(rgb)) if ok else None for (x, y), radius, close, rgb, ok in every]


def _seen(x: Float[Tensor, "*b d n"]) -> Float[Tensor, "*b 3 n"]:
    """Coordinates to the right, up, and towards the eye."""
    if x.shape[-2] == 2:
        return torch.cat([x, torch.zeros_like(x[..., :1, :])], -2)
    (ca, sa), (ce, se) = ((math.cos(angle), math.sin(angle)) for angle in (AZIMUTH, ELEVATION))
    view = torch.tensor([[-sa, ca, 0.0], [-se * ca, -se * sa, ce], [ce * ca, ce * sa, se]], dtype=x.dtype)
    return view @ x


def _frame(seen: Tensor, there: Tensor, size: Tensor) -> tuple[Tensor, float]:
    """The middle of all tiles, and half of what a tile is wide, in the unit of the points."""
    places, reach = seen[:, :2].transpose(1, 2)[there], size[there]
    if not len(places):
        return torch.zeros(2, dtype=seen.dtype), 1.0
    low, high = (places - reach[:, None]).amin(0), (places + reach[:, None]).amax(0)
    return (low + high) / 2, max(1e-9, 0.54 * (high - low).max().item())


def _nearness(depth: Float[Tensor, "clouds n"], there: Bool[Tensor, "clouds n"]) -> Float[Tensor, "clouds n"]:
    """From 0 for the farthest point of a cloud to 1 for the nearest; flat clouds use a part of that."""
    low = depth.masked_fill(~there, math.inf).amin(1, keepdim=True)
    high = depth.masked_fill(~there, -math.inf).amax(1, keepdim=True)
    width = torch.maximum(high - low, (high - low).max() / 2).clamp(min=1e-9)
    return (1 - (high - depth) / width).nan_to_num(1.0)


def _tile(
    points: Sequence[_Point | None], bonds: Sequence[tuple[int, int]], width: int, balls: bool, veil: bool
) -> Image.Image:
    """One cloud: what is farthest is drawn first. Balls have an edge and a light; a veil lets points shine through."""
    canvas = Image.new("RGB", (width * FINE, width * FINE), PAPER)
    draw = ImageDraw.Draw(canvas, "RGBA")
    parts: list[tuple[float, int, _Point, _Point | None]] = [(p.near, 1, p, None) for p in points if p is not None]
    for i, j in bonds:
        a, b = points[i], points[j]
        if a is not None and b is not None:
            parts.append(((a.near + b.near) / 2, 0, a, b))
    for _, _, a, b in sorted(parts, key=lambda part: part[:2]):
        if b is not None:
            _stick(draw, a, b)
        elif balls:
            _ball(draw, a)
        else:
            if not veil:
                _disc(draw, a.x, a.y, a.radius + 0.5, PAPER)  # so that neighbours stay apart
            _disc(draw, a.x, a.y, a.radius, (*_faded(a.colour, a.near), 150 if veil else 255))
    return canvas.reduce(FINE)


def _ball(draw: ImageDraw.ImageDraw, a: _Point) -> None:
    colour, r = _faded(a.colour, 0.45 + 0.55 * a.near), a.radius
    _disc(draw, a.x, a.y, r, _mixed(colour, (0, 0, 0), 0.45))
    _disc(draw, a.x, a.y, r - 0.7, colour)
    for share, light in ((0.55, 0.3), (0.28, 0.65)):
        _disc(draw, a.x - 0.28 * r, a.y - 0.3 * r, share * r, _mixed(colour, (255, 255, 255), light))


def _stick(draw: ImageDraw.ImageDraw, a: _Point, b: _Point) -> None:
    """A bond: each half in the colour of its point."""
    half = ((a.x + b.x) / 2, (a.y + b.y) / 2)
    width = max(1, round(FINE * max(1.2, 0.55 * min(a.radius, b.radius))))
    for point in (a, b):
        colour = _mixed(_faded(point.colour, 0.45 + 0.55 * point.near), (90, 90, 90), 0.35)
        draw.line([point.x * FINE, point.y * FINE, half[0] * FINE, half[1] * FINE], fill=colour, width=width)


def _disc(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, colour: Rgb) -> None:
    r = max(0.3, radius) * FINE
    draw.ellipse([x * FINE - r, y * FINE - r, x * FINE + r, y * FINE + r], fill=colour)


def _faded(colour: Rgb, near: float) -> Rgb:
    return _mixed(colour, PAPER, PALE * (1 - near))


def _mixed(colour: Rgb, other: Rgb, share: float) -> Rgb:
    return tuple(round(c + share * (o - c)) for c, o in zip(colour, other, strict=True))


def _bar(tile: Image.Image, scale: float, unit: str) -> Image.Image:
    """The tile with a bar of a round length, of about a quarter of its width, in a corner."""
    wanted = 0.25 * tile.width / scale
    power = 10.0 ** math.floor(math.log10(wanted))
    length = max(k * power for k in (1, 2, 5) if k * power <= wanted)
    draw, left, bottom = ImageDraw.Draw(tile), 6, tile.height - 7
    draw.line([left, bottom, left + length * scale, bottom], fill=(90, 90, 90), width=2)
    draw.text((left, bottom - 4), f"{length:g} {unit}", fill=(70, 70, 70), font=font(10), anchor="ls")
    return tile
