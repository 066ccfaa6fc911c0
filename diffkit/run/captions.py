"""What a sample was told, in words, and those words as a line that a picture can hold."""

import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from torch import Tensor

from diffkit.run.edit import SHARE, TO

LONGEST = 80
"""The characters of a title."""
_MISSING = "□"


def caption(columns: Mapping[str, Any], rows: int, class_names: Sequence[str] = ()) -> list[str]:
    """What each row is told: its text, then its other conditions; both ends of what is between two.

    A label is called by its class's name, where classes have names.
    """
    told = _told({name: column for name, column in columns.items() if not name.endswith(TO)}, rows, class_names)
    if SHARE not in columns:
        return told
    ends = {name.removesuffix(TO): column for name, column in columns.items() if name.endswith(TO)}
    other = _told(ends, rows, class_names)
    pairs = zip(told, other, strict=True)
    return [a if a == b else f"{a or 'nothing'} → {b or 'nothing'}" for a, b in pairs]


def _told(columns: Mapping[str, Any], rows: int, class_names: Sequence[str]) -> list[str]:
    plain = {name: column.tolist() if isinstance(column, Tensor) else column for name, column in _words(columns)}
    lines = zip(*plain.values(), strict=True) if plain else [()] * rows
    return [
        ", ".join(_word(name, v, class_names) for name, v in zip(plain, line, strict=True) if _says(v))
        for line in lines
    ]


def _word(name: str, value: Any, class_names: Sequence[str]) -> str:
    if name == "label" and value < len(class_names):
        return str(class_names[value])
    return str(value) if name == "text" else f"{name} {value}"


def _words(columns: Mapping[str, Any]) -> list[tuple[str, Sequence[Any] | Tensor]]:
    """The columns of texts and of labels, texts first."""
    kept = [
        (n, c) for n, c in columns.items() if not isinstance(c, Tensor) or (c.ndim == 1 and not c.is_floating_point())
    ]
    return sorted(kept, key=lambda pair: pair[0] != "text")


def _says(value: Any) -> bool:
    return isinstance(value, str | int) and value not in ("", -1)


def title(text: str) -> str:
    """One line of at most 80 characters; what the font of pictures has no sign for is a box."""
    line = " ".join(text.split())
    if len(line) > LONGEST:
        line = line[: LONGEST - 1] + "…"
    if line.isascii() and line.isprintable():
        return line
    return "".join(map(_sign, line)) or _MISSING


def _sign(letter: str) -> str:
    """The letter, or what is drawn in its place: nothing for marks and joiners, which have no width of their own."""
    if ord(letter) in _signs():
        return letter
    return "" if unicodedata.category(letter) in ("Mn", "Me", "Mc", "Cf") else _MISSING


@cache
def _signs() -> frozenset[int]:
    """The characters of DejaVu Sans, the font of all pictures."""
    from matplotlib import get_data_path
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(str(Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf")).get_charmap())
