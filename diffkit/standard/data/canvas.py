"""What drawing helpers share: tiles in rows and columns, under titles."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

GAP = 3
TEXT = 11


def tiled(tiles: Sequence[Sequence[Image.Image]], titles: Sequence[str]) -> Image.Image:
    """Tiles of one size, row by row, with `titles` above the columns, wrapped to their width.

    Every row is as high as every other, and every column as wide.
    """
    width, height = tiles[0][0].size
    lines = [_wrap(title, width) for title in titles[: len(tiles[0])]]
    top = _height(max(map(len, lines), default=0))
    size = (len(tiles[0]) * (width + GAP) + GAP, top + len(tiles) * (height + GAP) + GAP)
    canvas = Image.new("RGB", size, "white")
    for i, row in enumerate(tiles):
        for j, tile in enumerate(row):
            canvas.paste(tile, (GAP + j * (width + GAP), top + GAP + i * (height + GAP)))
    for j, title in enumerate(lines):
        _write(canvas, title, GAP + j * (width + GAP) + width / 2, top)
    return canvas


@cache
def font(size: int = TEXT) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib and has Greek letters and mathematical signs."""
    import matplotlib

    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size)


def _height(lines: int) -> int:
    return lines * (TEXT + 3) + 2 * GAP if lines else 0


def _wrap(text: str, width: int) -> list[str]:
    """Lines of `text` no wider than `width` pixels, broken at spaces where that is possible."""
    lines: list[str] = []
    for paragraph in text.splitlines():
        line = ""
        for word in paragraph.split(" "):
            together = f"{line} {word}" if line else word
            if font().getlength(together) <= width:
                line = together
                continue
            lines += [line] if line else []
            line = word
            while font().getlength(line) > width and len(line) > 1:
                fits = max(1, sum(font().getlength(line[: k + 1]) <= width for k in range(len(line))))
                lines, line = [*lines, line[:fits]], line[fits:]
        lines.append(line)
    return lines


def _write(canvas: Image.Image, lines: list[str], middle: float, bottom: int) -> None:
    """Centred lines of text that end just above `bottom`."""
    draw = ImageDraw.Draw(canvas)
    top = bottom - _height(len(lines)) + GAP
    for i, line in enumerate(lines):
        draw.text((middle, top + i * (TEXT + 3)), line, fill="black", font=font(), anchor="ma")
