"""What a user brings to be edited: rows from files, and masks, in the data's own units."""

import struct
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from diffkit.core.data import DataSpec
from diffkit.core.errors import DiffkitError
from diffkit.run.arrays import read_npy, read_npz
from diffkit.run.rows import checked_rows, read_columns

SIDES = ("left", "right", "top", "bottom", "center")
"""Halves of a picture, and the half of each axis in the middle."""


def given_rows(source: Any, spec: DataSpec, smaller: bool = False) -> Float[Tensor, " b *d"]:
    """Rows from files (.npz, .csv, .png; one or a list) or from Python, in float64; NaN stands for what is missing.

    Grey levels of an 8-bit .png are scaled to the data's range. `smaller` says that pictures may be smaller by a whole
    factor: they are enlarged to the data's size. Raises `DiffkitError` for what is none of these data.
    """
    if isinstance(source, str | Path):
        source = [source]
    if isinstance(source, Sequence) and all(isinstance(part, str | Path) for part in source):
        if not source:
            raise DiffkitError("input is an empty list: give a file, or leave it out")
        return torch.cat([_rows(_read(Path(str(p)), spec), spec, f"input={p}", smaller) for p in source])
    return _rows(source, spec, "input", smaller)


def _read(path: Path, spec: DataSpec) -> Any:
    where = f"input={path}"
    return _picture(path, spec, where) if path.suffix.lower() == ".png" else read_columns(path, spec, where)["x"]


def _rows(x: Any, spec: DataSpec, where: str, smaller: bool) -> Tensor:
    try:
        values = torch.as_tensor(x if isinstance(x, Tensor) else np.asarray(x, dtype=np.float64))
    except (TypeError, ValueError):
        raise DiffkitError(f"{where}: give numbers, of shape (rows, {', '.join(map(str, spec.shape))})") from None
    if tuple(values.shape) == tuple(spec.shape):
        values = values[None]
    if smaller:
        values = _enlarged(values, spec)
    rows: Tensor = checked_rows(values.cpu(), {}, spec, where, missing=True, between=True)["x"]
    return rows


def _enlarged(x: Tensor, spec: DataSpec) -> Tensor:
    """Each value repeated, where the rows are smaller than the data by one whole factor."""
    if x.ndim == len(spec.shape):
        x = x[None]
    pairs = list(zip(spec.shape[1:], x.shape[2:], strict=False))
    factors = {full // part if part and full % part == 0 else 0 for full, part in pairs}
    if x.ndim != len(spec.shape) + 1 or len(factors) != 1 or 0 in factors:
        return x
    for axis in range(2, x.ndim):
        x = x.repeat_interleave(next(iter(factors)), axis)
    return x


def _picture(path: Path, spec: DataSpec, where: str) -> NDArray[np.float64]:
    """An 8-bit picture (1, c, h, w), its 0 to 255 scaled to the data's range."""
    if len(spec.shape) != 3 or spec.low is None or spec.high is None:
        raise DiffkitError(f"{where}: these data are no pictures of a known range: give rows in an .npz or .csv file")
    levels = _levels(path, where, spec.shape[0])
    return spec.low + levels[None] / 255 * (spec.high - spec.low)


def _levels(path: Path, where: str, channels: int) -> NDArray[np.float64]:
    """The grey levels (1) or the colours (3 channels) of an 8-bit picture, over white where it is transparent."""
    mode = {1: "L", 3: "RGB"}.get(channels)
    if mode is None:
        raise DiffkitError(f"{where}: a .png has 1 or 3 channels, and the data have {channels}: give an .npz file")
    try:
        strict = warnings.catch_warnings(action="error", category=Image.DecompressionBombWarning)
        with strict, Image.open(path.expanduser(), formats=("PNG",)) as file:
            if file.mode not in ("1", "L", "LA", "P", "RGB", "RGBA"):
                raise DiffkitError(f"{where} has more than 8 bits a channel, or none of grey, red, green and blue")
            white = Image.new("RGBA", file.size, "white")
            picture = Image.alpha_composite(white, file.convert("RGBA")).convert(mode)
    except FileNotFoundError:
        raise DiffkitError(f"{where}: there is no such file") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DiffkitError(f"{where} has more than {Image.MAX_IMAGE_PIXELS or 0:,} pixels: make it smaller") from None
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError, EOFError, struct.error, zlib.error) as error:
        raise DiffkitError(f"{where} cannot be read: {' '.join(str(error).split())}") from None
    return np.asarray(picture, dtype=np.float64).reshape(picture.height, picture.width, channels).transpose(2, 0, 1)


def drawn_mask(mask: Any, spec: DataSpec, rows: int) -> Bool[Tensor, " b *d"]:
    """Where numbers are to be drawn anew, for each row; True is anew.

    `mask` is a side of a picture, entries of the first axis (the columns of a table), a file (.npy, .npz with an array
    `mask`, .png where white is anew), or an array; of one row's shape, of all rows', or without the first axis.
    Raises `DiffkitError` for anything else, and for a mask that leaves nothing to draw or nothing known.
    """
    made = _mask(mask, spec)
    shape = tuple(spec.shape)
    if made.shape == shape[1:] and len(shape) > 1:
        made = made.expand(shape)
    if made.shape == shape:
        made = made.expand(rows, *shape)
    if made.shape != (rows, *shape):
        raise DiffkitError(f"{_said(mask)} is of shape {tuple(made.shape)}, and must be {shape}, or {(rows, *shape)}")
    inside = made.flatten(1)
    if not bool(inside.any(1).all()) or bool(inside.all(1).any()):
        raise DiffkitError(f"{_said(mask)} must leave something to draw and something known, in every row")
    return made


def _said(mask: Any) -> str:
    return f"mask={mask}" if isinstance(mask, str | int | list | tuple | Path) else "mask"


def _mask(mask: Any, spec: DataSpec) -> Tensor:
    if isinstance(mask, str) and mask in SIDES:
        return _side(mask, spec)
    if isinstance(mask, str | Path):
        return _mask_file(Path(mask).expanduser(), mask)
    if isinstance(mask, int) or (isinstance(mask, list | tuple) and all(type(i) is int for i in mask)):
        entries = [mask] if isinstance(mask, int) else list(mask)
        if not all(0 <= i < spec.shape[0] for i in entries):
            raise DiffkitError(f"mask={mask}: give entries of the first axis, from 0 to {spec.shape[0] - 1}")
        made = torch.zeros(spec.shape, dtype=torch.bool)
        made[entries] = True
        return made
    return torch.as_tensor(np.asarray(mask)) != 0


def _side(side: str, spec: DataSpec) -> Tensor:
    if len(spec.shape) != 3:
        raise DiffkitError(f"mask={side} is part of a picture, which these data are not: give the numbers of entries")
    *_, h, w = spec.shape
    made = torch.zeros(h, w, dtype=torch.bool)
    where = {
        "left": (slice(h), slice(w // 2)),
        "right": (slice(h), slice(w // 2, w)),
        "top": (slice(h // 2), slice(w)),
        "bottom": (slice(h // 2, h), slice(w)),
        "center": (slice(h // 4, h - h // 4), slice(w // 4, w - w // 4)),
    }[side]
    made[where] = True
    return made


def _mask_file(path: Path, said: str | Path) -> Tensor:
    where, kind = f"mask={said}", path.suffix.lower()
    if kind not in (".npy", ".npz", ".png"):
        raise DiffkitError(f"{where} is neither {', '.join(SIDES)}, nor entries, nor a .npy, .npz or .png file")
    if kind == ".png":
        return torch.from_numpy(_levels(path, where, 1)[0] >= 128)
    try:
        return torch.as_tensor(read_npy(path) if kind == ".npy" else read_npz(path)["mask"]) != 0
    except KeyError:
        raise DiffkitError(f"{where} has no array mask: save it under that name") from None
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise DiffkitError(f"{where} cannot be read: {' '.join(str(error).split())}") from None
