"""Captions from files: beside a picture, or in one file for all."""

import csv
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from diffkit.core.bad import BadSample
from diffkit.core.errors import DiffkitError
from diffkit.standard.data.listing import Packed, shown
from diffkit.standard.data.stream import Split

FILE = ("file_name", "file", "image", "path")
TEXT = ("text", "caption", "captions", "prompt")
"""What the columns may be called; the first that is there is taken."""
MARK = b"\xef\xbb\xbf"
"""What some editors begin a file of UTF-8 with."""
Captions = tuple[str, ...] | BadSample


def captions_of(content: bytes, file: str) -> tuple[str, ...]:
    """The captions in a file that stands beside a picture: one a line.

    A byte order mark, empty lines and spaces around are left out. Raises `BadSample`, which names the file and the
    byte, for what is no text, and for a file without any.
    """
    text = decoded(content.removeprefix(MARK), file, len(MARK) if content.startswith(MARK) else 0)
    captions = tuple(line.strip() for line in text.split("\n") if line.strip())
    if not captions:
        raise BadSample(file, "there is no caption in it")
    return captions


def decoded(content: bytes, file: str, offset: int = 0) -> str:
    """UTF-8 as text; raises `BadSample` for anything else and for NUL, `offset` being where `content` begins."""
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        byte = f"byte {offset + error.start} ({content[error.start]:#04x})"
        raise BadSample(f"{file}, {byte}", "it is not UTF-8: save it as that") from None
    if "\0" in text:
        raise BadSample(f"{file}, byte {offset + content.index(0)}", "there is a NUL (0x00) in a caption")
    return text


def captions_file(path: Path) -> dict[str, Captions]:
    """The captions of each picture that a CSV or JSONL file names, or what is wrong with them.

    The columns are `file_name` (file, image, path) and `text` (caption, captions, prompt). A CSV has a head; a file
    that is named twice has both captions. In JSONL a caption may be a list of some, or null: the picture has none.
    Raises `DiffkitError` for a file that cannot be read as such.
    """
    ending = path.suffix.lower()
    if ending not in (".csv", ".jsonl"):
        raise DiffkitError(f"captions={path}: give a .csv or a .jsonl file")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DiffkitError(f"captions={path} cannot be read: {error.strerror or error}") from error
    found: dict[str, Captions] = {}
    for start, raw, row in _csv(content, path) if ending == ".csv" else _jsonl(content, path):
        names = [name for name in FILE if name in row], [name for name in TEXT if name in row]
        if not all(names):
            raise DiffkitError(
                f"captions={path} needs the columns file_name and text, and has {', '.join(map(str, row))}"
            )
        file = str(row[names[0][0]]).removeprefix("./")
        new = checked_captions(row[names[1][0]], raw, f"{path}", start)
        before = found.get(file, ())
        found[file] = new if isinstance(new, BadSample) else before if isinstance(before, BadSample) else before + new
    return found


def checked_captions(value: Any, raw: bytes, file: str, start: int) -> Captions:
    """The captions of a row of a file; `raw` is the row as it stands there, from byte `start` on."""
    try:
        decoded(raw, file, start)
    except BadSample as bad:
        return bad
    captions = () if value is None else (value,) if isinstance(value, str) else value
    if not isinstance(captions, tuple | list) or not all(isinstance(text, str) for text in captions):
        return BadSample(f"{file}, byte {start}", f"{value!r:.60} is no caption")
    if not all(text.strip() for text in captions):
        return BadSample(f"{file}, byte {start}", "a caption is empty")
    if any(letter == "\0" or "\ud800" <= letter <= "\udfff" for text in captions for letter in text):
        return BadSample(f"{file}, byte {start}", "a caption has a NUL or half a letter (a lone surrogate)")
    return tuple(text.strip() for text in captions)


def _csv(content: bytes, path: Path) -> Iterator[tuple[int, bytes, Mapping[str, Any]]]:
    """Where each row begins, its bytes, and its columns."""
    body = content.removeprefix(MARK)
    begin = at = len(content) - len(body)

    def lines() -> Iterator[str]:
        nonlocal at
        for line in body.splitlines(keepends=True):
            at += len(line)
            yield line.decode("utf-8", "surrogateescape")

    csv.field_size_limit(2**31 - 1)
    rows = csv.DictReader(lines(), restval="", strict=True)
    try:
        _ = rows.fieldnames
        begin = at
        for row in rows:
            yield begin, content[begin:at], row
            begin = at
    except csv.Error as error:
        raise DiffkitError(f"captions={path}, byte {begin}: it is not CSV: {error}") from error


def _jsonl(content: bytes, path: Path) -> Iterator[tuple[int, bytes, Mapping[str, Any]]]:
    at = 0
    for line in content.splitlines(keepends=True):
        begin, at = at, at + len(line)
        stripped = line.removeprefix(MARK).strip()
        if not stripped:
            continue
        try:
            row = json.loads(stripped.decode("utf-8", "surrogateescape"))
        except (ValueError, RecursionError) as error:
            raise DiffkitError(f"captions={path}, byte {begin}: it is not JSON: {error}") from error
        if not isinstance(row, dict):
            raise DiffkitError(f"captions={path}, byte {begin}: a line must be an object, with file_name and text")
        yield begin, line, row


class Told:
    """The captions of the pictures in a folder that stand in one file."""

    def __init__(self, path: Path, folder: Path, files: Mapping[Split, Packed]) -> None:
        found = captions_file(path if path.exists() else folder / path)
        self._bad: dict[tuple[Split, int], BadSample] = {}
        self._texts: dict[Split, Packed] = {}
        for split, names in files.items():
            texts = []
            for row, name in enumerate(names):
                file = shown(os.fsdecode(name))
                captions = found.get(file, BadSample(str(folder / file), f"there is no caption for it in {path}"))
                if isinstance(captions, BadSample):
                    self._bad[split, row], captions = captions, ()
                texts.append("\0".join(captions).encode())
            self._texts[split] = Packed(texts)
        if not found.keys() & {shown(os.fsdecode(name)) for names in files.values() for name in names}:
            first = shown(os.fsdecode(files["train"][0]))
            raise DiffkitError(f"captions={path} names no picture in {folder}, as {first!r} would be")

    def of(self, split: Split, row: int) -> tuple[str, ...]:
        """The captions of a picture; raises `BadSample` for what is none."""
        if (split, row) in self._bad:
            raise self._bad[split, row]
        text = self._texts[split][row].decode()
        return tuple(text.split("\0")) if text else ()
