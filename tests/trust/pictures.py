"""Pictures of every kind become the pixels that the documentation says, or are refused."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from trust.faulty import COLOURS, FAULTS, RGB, encoded
from trust.mutation import mutation
from trust.row import Trial, expect, row

ROTATED = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
"""EXIF that says: turn it by 90 degrees to the right."""
DEEP = (np.arange(256).reshape(16, 16) * 257 - 3).clip(0).astype(np.uint16)
ALPHA = np.linspace(0, 255, 256).round().astype(np.uint8).reshape(16, 16)
INKS = np.dstack([np.full((16, 16), n, dtype=np.uint8) for n in (200, 0, 0, 50)])
FEW = RGB.quantize(8)
BITS = COLOURS[..., 0] > 127


def grey(values: NDArray[Any]) -> NDArray[Any]:
    """The same light in three channels."""
    return np.stack([values] * 3, -1)


def jpeg() -> NDArray[Any]:
    """What the decoder makes of the rotated one, turned."""
    from io import BytesIO

    with Image.open(BytesIO(encoded(RGB, "JPEG", quality=95))) as picture:
        return np.rot90(np.asarray(picture), -1)


def clear() -> NDArray[Any]:
    """A palette whose fourth colour is transparent, on white."""
    found = np.asarray(FEW.convert("RGB")).copy()
    found[np.asarray(FEW) == 3] = 255
    return found


ALIKE: dict[str, tuple[Callable[[], bytes], Callable[[], NDArray[Any]], float]] = {
    "8 bits": (lambda: encoded(RGB), lambda: COLOURS, 0),
    "grey": (lambda: encoded(Image.fromarray(COLOURS[..., 0])), lambda: grey(COLOURS[..., 0]), 0),
    "16 bits": (lambda: encoded(Image.fromarray(DEEP)), lambda: grey(DEEP.astype(np.float32) / 257), 0),
    "16 bits, TIFF": (lambda: encoded(Image.fromarray(DEEP), "TIFF"), lambda: grey(DEEP.astype(np.float32) / 257), 0),
    "palette": (lambda: encoded(FEW), lambda: np.asarray(FEW.convert("RGB")), 0),
    "transparent palette": (lambda: encoded(FEW, transparency=3), clear, 0),
    "one bit": (
        lambda: encoded(Image.fromarray(COLOURS[..., 0] > 127)),
        lambda: grey((COLOURS[..., 0] > 127) * 255),
        0,
    ),
    "transparent": (
        lambda: encoded(Image.fromarray(np.dstack([COLOURS, ALPHA]))),
        lambda: ALPHA[..., None] / 255 * COLOURS + (255 - ALPHA[..., None]),
        1,
    ),
    "inks": (
        lambda: encoded(Image.fromarray(INKS, "CMYK"), "TIFF"),
        lambda: np.full((16, 16, 3), [(255 - 200) * (255 - 50) / 255, 255 - 50, 255 - 50]),
        1,
    ),
    "rotated": (lambda: encoded(RGB, "JPEG", quality=95, exif=ROTATED), jpeg, 0),
    "one pixel": (
        lambda: encoded(Image.new("RGB", (1, 1), (10, 20, 30))),
        lambda: np.full((16, 16, 3), [10, 20, 30]),
        0,
    ),
    "not square": (
        lambda: encoded(Image.fromarray(np.pad(COLOURS, ((0, 0), (4, 4), (0, 0))))),
        lambda: COLOURS,
        0,
    ),
    "animation": (
        lambda: encoded(RGB.quantize(16), "GIF", save_all=True, append_images=[Image.new("P", (16, 16))]),
        lambda: np.asarray(RGB.quantize(16).convert("RGB")),
        0,
    ),
}
"""The bytes of each, its pixels, and how far these may be off."""


@row(
    "D3",
    fault="pictures of 1, 8, 16 and 32 bits, NaN, grey, RGBA, palette, CMYK, turned, of one pixel, animated, broken",
    required="the documented pixels, compared exactly, or a refusal that says why",
    bare="NaN taken, 16 bits 99.6 % white",
    full=len(ALIKE) + len(FAULTS),
    small=len(ALIKE) + len(FAULTS),
)
def kinds_of_pictures(trial: Trial) -> None:
    from diffkit.standard.data.pixels import Pictures, Undecodable

    name = trial.pick((*ALIKE, *FAULTS))
    if name in FAULTS:
        content, said = FAULTS[name]
        try:
            Pictures(16).decode(content)
        except Undecodable as fault:
            expect(re.search(said, str(fault)), f"{name}: it was not said why: {fault}")
        else:
            expect(False, f"{name}: it was taken for a picture")
        return
    make, wanted, apart = ALIKE[name]
    found = Pictures(16).decode(make()).permute(1, 2, 0).numpy()
    off = float(np.abs(found.astype(float) - wanted()).max())
    expect(found.shape == (16, 16, 3), f"{name}: the shape is {found.shape}")
    expect(off <= apart, f"{name}: pixels are off by {off:g} of 255")


@mutation("every picture is what Pillow's convert makes of it", "D3", said="16 bits: pixels are off")
def plain_convert(patch: pytest.MonkeyPatch) -> None:
    import torch

    from diffkit.standard.data.pixels import Pictures

    def pixels(self: Any, picture: Image.Image) -> Any:
        return torch.from_numpy(np.asarray(self._square(picture.convert("RGB"))).transpose(2, 0, 1).copy())

    patch.setattr(Pictures, "_pixels", pixels)
