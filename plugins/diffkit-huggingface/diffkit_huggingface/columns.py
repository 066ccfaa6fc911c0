"""Which columns of a data set are the picture, the caption and the class."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from diffkit.core import DiffkitError

CAPTIONS = ("text", "caption", "captions", "prompt")
"""What a column of captions may be called where there are several of strings; the first that is there is taken."""


@dataclass(frozen=True)
class Columns:
    """Their names; empty: there is none."""

    image: str
    text: str
    label: str

    def names(self) -> list[str]:
        """Those that there are."""
        return [name for name in (self.image, self.text, self.label) if name]


def columns_of(features: Mapping[str, Any], image: str | None, text: str | None, label: str | None) -> Columns:
    """The columns, those that are None found by what they hold.

    Raises `DiffkitError` for one that is not there or holds something else, and where several may be meant.
    """
    from datasets import ClassLabel, Image

    for key, name in {"image": image, "text": text, "label": label}.items():
        if name and name not in features:
            raise DiffkitError(f"data.{key}={name} is no column: there are {', '.join(features)}")
    strings = [name for name, kind in features.items() if is_text(kind)]
    if text and text not in strings:
        raise DiffkitError(f"data.text={text} holds {features[text]}: strings are needed, or lists of some")
    if label and not isinstance(features[label], ClassLabel):
        raise DiffkitError(f"data.label={label} holds {features[label]}: a ClassLabel is needed (class_encode_column)")
    pictures = [name for name, kind in features.items() if isinstance(kind, Image)]
    labels = [name for name, kind in features.items() if isinstance(kind, ClassLabel)]
    named = [name for name in CAPTIONS if name in strings]
    return Columns(
        _one("image", image, pictures, features, required=True),
        _one("text", text, named[:1] or strings, features),
        _one("label", label, labels, features),
    )


def is_text(kind: Any) -> bool:
    """Whether a column holds strings, or lists of them."""
    from datasets import List, Value

    inner = kind.feature if isinstance(kind, List) else kind
    return isinstance(inner, Value) and inner.dtype in ("string", "large_string", "string_view")


def _one(key: str, given: str | None, found: list[str], features: Mapping[str, Any], required: bool = False) -> str:
    if given is not None and (given or not required):
        return given
    if len(found) > 1:
        none = "" if required else ", or leave it out with ''"
        raise DiffkitError(f"data.{key} may be {' or '.join(found)}: choose one{none}")
    if required and not found:
        raise DiffkitError(f"no column is known to hold pictures: say data.{key}=, one of {', '.join(features)}")
    return found[0] if found else ""
