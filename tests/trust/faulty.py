"""Files that are no pictures, or not the ones that they seem."""

import struct
import zlib
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

COLOURS = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
RGB = Image.fromarray(COLOURS)


def encoded(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """The bytes of a picture's file."""
    file = BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def chunk(name: bytes, content: bytes) -> bytes:
    """A part of a PNG."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def bomb(side: int) -> bytes:
    """A PNG of a hundred bytes that says that it is large."""
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def flipped(content: bytes, place: int) -> bytes:
    """One bit of it is another."""
    return content[:place] + bytes([content[place] ^ 8]) + content[place + 1 :]


GOOD = encoded(RGB)
FAULTS: dict[str, tuple[bytes, str]] = {
    "half.png": (GOOD[: len(GOOD) // 2], "damaged: image file is truncated"),
    "half.jpg": (encoded(RGB, "JPEG")[:-100], "damaged: image file is truncated"),
    "flipped.png": (flipped(GOOD, len(GOOD) // 2), "fails its checksum"),
    "empty.png": (b"", r"empty \(0 bytes\)"),
    "page.jpg": (b"<html>404 Not Found</html>", "a web page"),
    "text.png": (b"not a picture", "no picture"),
    "bomb.png": (bomb(30_000), "more than 89,478,485 pixels"),
    "small_bomb.png": (bomb(10_000), "more than 89,478,485 pixels"),
    "nan.tif": (encoded(Image.fromarray(np.full((4, 4), np.nan, dtype=np.float32)), "TIFF"), "32 bits"),
    "program.png": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n", "no picture"),
}
"""The bytes of each, and what is said of it."""
LINKS = {"loop.png": "loop.png", "dangling.png": "gone.png"}
