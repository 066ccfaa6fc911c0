"""Converted tables on disk: made once for each state of a file, and made again where they are damaged."""

import json
import os
import shutil
from dataclasses import asdict, dataclass
from hashlib import file_digest, sha256
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import torch
from torch import Tensor

from diffkit.core.data import KNOWN
from diffkit.core.errors import DiffkitError
from diffkit.core.types import Batch
from diffkit.standard.data.columns import Texts
from diffkit.standard.data.tables.columns import Wanted
from diffkit.standard.data.tables.convert import Split, convert
from diffkit.standard.data.tables.source import Delimiter, open_table

FORMAT = 2
MANIFEST = "table.json"


@dataclass(frozen=True)
class Kept:
    """A converted table."""

    folder: Path
    about: dict[str, Any]
    """What `convert` says of it."""

    def columns(self, split: Split) -> Batch:
        """The columns of a split, mapped into memory: what is not asked for is not read."""
        rows, width = self.about["rows"][split], len(self.about["names"])
        columns: dict[str, Any] = {"x": self._mapped(f"{split}.x", torch.float32, rows * width).view(rows, width)}
        if not self.about["known"]:
            columns[KNOWN] = self._mapped(f"{split}.known", torch.bool, rows * width).view(rows, width)
        if self.about["class_names"]:
            columns["label"] = self._mapped(f"{split}.label", torch.int64, rows)
        if f"{split}.ends" in self.about["files"]:
            columns["text"] = Texts(self.folder / f"{split}.text", self._mapped(f"{split}.ends", torch.int64, rows))
        return columns

    def _mapped(self, name: str, dtype: torch.dtype, size: int) -> Tensor:
        return torch.from_file(str(self.folder / name), shared=False, size=size, dtype=dtype)


def kept(file: Path, wanted: Wanted, delimiter: Delimiter, hold_out: int) -> Kept:
    """The converted table of a file, from the cache if it is there and whole.

    Raises `DiffkitError` for a file that is no table, and where the cache cannot be written.
    """
    source = open_table(file, delimiter)
    asked = {"format": FORMAT, "wanted": asdict(wanted), "delimiter": delimiter, "hold_out": hold_out}
    key = sha256(json.dumps(asked | _state(file), sort_keys=True).encode()).hexdigest()[:24]
    folder = root() / "tables" / key
    found = _whole(folder)
    if found is not None:
        return Kept(folder, found)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(mkdtemp(prefix=f".{key}-", dir=folder.parent))
    except OSError as error:
        raise DiffkitError(f"cannot write in {folder.parent}: {error.strerror}; set DIFFKIT_CACHE") from error
    try:
        about = convert(source, wanted, hold_out, temporary)
        about["files"] = {path.name: _digest(path) for path in sorted(temporary.iterdir())}
        (temporary / MANIFEST).write_text(json.dumps({**about, "sha256": _seal(about)}), encoding="utf-8")
        return Kept(folder, _placed(temporary, folder, about))
    except OSError as error:
        raise DiffkitError(f"cannot write in {folder.parent}: {error.strerror}; set DIFFKIT_CACHE") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _placed(temporary: Path, folder: Path, about: dict[str, Any]) -> dict[str, Any]:
    """Give the files their place; another process may have been quicker."""
    try:
        os.replace(temporary, folder)
        return about
    except OSError:
        found = _whole(folder)
        if found is None:  # what stands there is damaged
            shutil.rmtree(folder)
            os.replace(temporary, folder)
        return found or about


def root() -> Path:
    """`$DIFFKIT_CACHE`, else `diffkit` in `$XDG_CACHE_HOME` or `~/.cache`: files in it may be deleted at any time."""
    own, shared = os.environ.get("DIFFKIT_CACHE"), os.environ.get("XDG_CACHE_HOME")
    return Path(own).expanduser() if own else Path(shared or "~/.cache").expanduser() / "diffkit"


def _state(file: Path) -> dict[str, Any]:
    """What changes when a file is changed, without reading all of it."""
    about = file.stat()
    with file.open("rb") as content:
        ends = content.read(1 << 16)
        content.seek(max(0, about.st_size - (1 << 16)))
        ends += content.read()
    digest = sha256(ends).hexdigest()
    return {"file": str(file.resolve()), "size": about.st_size, "mtime": about.st_mtime_ns, "ends": digest}


def _whole(folder: Path) -> dict[str, Any] | None:
    """What is said of a converted table, if each of its files is as it was written."""
    try:
        about: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        whole = about.pop("sha256") == _seal(about)
        whole = whole and all(_digest(folder / name) == digest for name, digest in about["files"].items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return about if whole else None


def _seal(about: dict[str, Any]) -> str:
    return sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
