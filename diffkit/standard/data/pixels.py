"""From the bytes of a picture's file to its pixels."""

import struct
import warnings
import zlib
from dataclasses import dataclass
from io import BytesIO
from typing import Annotated, Literal

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from PIL import ExifTags, Image, UnidentifiedImageError
from torch import Tensor

from diffkit.core.types import Range

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
"""What is read: no format whose decoder runs programs."""
Light = Annotated[int, Range(0, 255)]
"""A grey level."""
Pixels = UInt8[Tensor, "c h w"] | Float32[Tensor, "c h w"]
_DEEP = ("PNG", "PPM")
"""The formats whose 32-bit mode of Pillow's holds 16 bits."""
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What undoes each orientation of a camera."""


class Undecodable(Exception):
    """What is wrong with a picture's file."""


@dataclass(frozen=True)
class Pictures:
    """How pictures of all kinds become `resolution` x `resolution` pixels of 1 (grey) or 3 channels.

    The square in their middle is brought to size by Lanczos's filter, smaller ones too; a JPEG of four times the
    size or more is decoded at a half, a quarter or an eighth of it, which is twice the size or more. Transparent
    ones are put on a `background` (red, green, blue). A camera's orientation is applied. CMYK and palettes become
    red, green and blue, and colours, where grey is wanted, their luma (ITU-R BT.601). Of an animation the first
    frame is taken. Colour profiles are not looked at.
    """

    resolution: int
    channels: Literal[1, 3] = 3
    background: tuple[int, int, int] = (255, 255, 255)

    def decode(self, content: bytes) -> Pixels:
        """The grey levels, from 0 to 255: bytes, or float32 with all of their bits where a file has 16 of them.

        A grey picture of 16 bits is divided by 257; of one in colour Pillow reads the upper 8 bits. Raises
        `Undecodable`.
        """
        if not content:
            raise Undecodable("it is empty (0 bytes)")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            try:
                with Image.open(BytesIO(content), formats=FORMATS) as picture:
                    if picture.format == "PNG":
                        _check_parts(content)
                    return self._pixels(picture)
            except UnidentifiedImageError:
                what = "a web page" if content.lstrip()[:1] == b"<" else "no picture"
                raise Undecodable(f"it is {what} ({', '.join(FORMATS)} are read)") from None
            except (Image.DecompressionBombError, Image.DecompressionBombWarning):
                most = f"{Image.MAX_IMAGE_PIXELS or 0:,}"
                raise Undecodable(f"its header says that it has more than {most} pixels: make it smaller") from None
            except Undecodable:
                raise
            except Exception as error:  # a decoder may stumble over damaged bytes in any way
                raise Undecodable(f"it is damaged: {' '.join(str(error).split())}") from error

    def _pixels(self, picture: Image.Image) -> Pixels:
        kind, size = "L" if self.channels == 1 else "RGB", (self.resolution, self.resolution)
        picture.draft(kind, (2 * self.resolution, 2 * self.resolution))
        orientation = picture.getexif().get(ExifTags.Base.Orientation, 1)
        deep = picture.mode.startswith("I;16") or (picture.mode == "I" and picture.format in _DEEP)
        if picture.mode in ("I", "F") and not deep:
            raise Undecodable("it has numbers of 32 bits, whose range nothing tells: save it with 8 or 16 bits")
        if deep:
            square = self._square(Image.fromarray(np.asarray(picture, dtype=np.float32) / 257))
        elif picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
            square = Image.new("RGBA", size, (*self.background, 255))
            square.alpha_composite(self._square(picture.convert("RGBA")))
            square = square.convert(kind)
        else:
            square = self._square(picture if picture.mode == kind else picture.convert(kind))
        if orientation in _TURNS:
            square = square.transpose(_TURNS[orientation])
        pixels = np.asarray(square).reshape(*size, -1).transpose(2, 0, 1)
        if deep:
            return torch.from_numpy(pixels.clip(0, 255)).expand(self.channels, *size)
        return torch.from_numpy(pixels.copy())

    def _square(self, picture: Image.Image) -> Image.Image:
        """The square in the middle, at the resolution."""
        w, h = picture.size
        side = min(w, h)
        size = (self.resolution, self.resolution)
        if (w, h) == size:
            return picture
        box = ((w - side) / 2, (h - side) / 2, (w + side) / 2, (h + side) / 2)
        return picture.resize(size, Image.Resampling.LANCZOS, box)


def _check_parts(content: bytes) -> None:
    """Raise `Undecodable` if a part of a PNG is not what its checksum says, as Pillow does not always see."""
    view, at = memoryview(content), 8
    while at + 12 <= len(view):
        length, name = struct.unpack_from(">I4s", view, at)
        end = at + 8 + length
        if end + 4 <= len(view) and zlib.crc32(view[at + 4 : end]) != struct.unpack_from(">I", view, end)[0]:
            raise Undecodable(f"it is damaged: its part {name.decode('latin-1')!r} at byte {at} fails its checksum")
        at = end + 4
