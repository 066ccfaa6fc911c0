"""Films of a run: samples emerging from noise, frame by frame."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import torch
from PIL import Image

from diffkit.core.data import Drawing
from diffkit.run import pictures
from diffkit.run.folder import write_bytes
from diffkit.run.generate import Film

LINE = 4
"""How many samples stand beside each other in a film, unless there are fewer."""
WHOLE, FIRST, LAST = 3200, 400, 2000
"""How long a film lasts, in milliseconds, and beside that its first frame and its last."""
WIDTH, BYTES = 640, 500_000
"""A film is no wider, in pixels, and no larger, unless its poorest form is."""
FORMS = ((64, 1, 1.0), (48, 1, 0.75), (48, 2, 0.75), (32, 2, 0.5), (32, 4, 0.5))
"""Colours, one frame of how many, and the share of the width: a film has the first of these that is small enough."""


def frames(data: Drawing, film: Film) -> list[Image.Image]:
    """A picture of x_t for each frame of the film, all of one size and on the same axes, under its time.

    Points in the plane and in space that are far outside the last frame are left out. Of tables there is a picture of
    every second frame, since a corner plot takes its time.
    """
    every = 2 if len(data.spec.shape) == 1 and data.spec.shape[0] > 2 else 1
    kept = range(len(film.t))[::-every][::-1]
    x, t = pictures.near(film.x_t[list(kept)], film.x_t[-1], data.spec), [film.t[i] for i in kept]
    if len(data.spec.shape) == 1:
        x = x[:, None]
    else:
        columns = min(LINE, x.shape[1])
        x = x[:, : x.shape[1] // columns * columns].reshape(-1, columns, *x.shape[2:])
    # one picture of all, so that all are on the same axes; its rows are equally high
    lines = len(x) // len(t)
    told = torch.arange(lines * x.shape[1]).repeat(len(t))
    whole = pictures.drawn(data, x, film.columns, told)
    top = pictures.drawn(data, x[:lines], film.columns, told[: lines * x.shape[1]]).height
    step = (whole.height - top) / max(1, len(t) - 1)
    tops = [round(i * step) for i in range(len(t))]
    cut = [whole.crop((0, y, whole.width, y + top)) for y in tops]
    return [pictures.header(frame, f"t = {time:.2f}") for frame, time in zip(cut, t, strict=True)]


def save(pictured: Sequence[Image.Image], path: Path) -> None:
    """Write frames as a GIF that repeats and rests at its end, so that a reader sees the old file or the new one.

    It has fewer colours, frames and pixels the more there is to be seen, so that it has at most 500,000 bytes or so.
    """
    for form in FORMS:
        content = _encoded(pictured, *form)
        if len(content) <= BYTES:
            break
    write_bytes(path, content)


def _encoded(pictured: Sequence[Image.Image], colours: int, every: int, share: float) -> bytes:
    """The frames as a GIF with one palette, the last one among them."""
    kept = list(pictured[::-1][::every][::-1])
    share = min(share, share * WIDTH / kept[0].width)
    if share < 1:
        size = (round(share * kept[0].width), round(share * kept[0].height))
        kept = [frame.resize(size, Image.Resampling.LANCZOS) for frame in kept]
    some = pictures.pile(kept[:: max(1, len(kept) // 8)] + kept[-1:])
    palette = some.quantize(colours, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    plain = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in kept]
    times = [min(300, WHOLE // len(kept)) // 10 * 10] * len(kept)  # a GIF counts hundredths of a second
    times[0], times[-1] = times[0] + FIRST, times[-1] + LAST
    file = BytesIO()
    plain[0].save(file, "GIF", save_all=True, append_images=plain[1:], duration=times, loop=0)
    return file.getvalue()
