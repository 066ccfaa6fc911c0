"""The rows of a tar file, from its headers."""

import json
import os
import re
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from itertools import groupby
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

PICTURES = ("jpg", "jpeg", "png", "webp")
NO_PICTURE, TWO_PICTURES, CUT, NO_TAR, UNREADABLE = -1, -2, -3, -4, -5
"""What stands in the place of a picture's offset; from `CUT` down the row stands for its whole shard."""
NO_CLASS, BAD_CLASS, BAD_JSON = -1, -2, -3
"""What stands in the place of a class."""
ROW = np.dtype(
    [
        *[("place", "<u4"), ("head", "<i8"), ("picture", "<i8"), ("size", "<i8")],
        *[("text", "<i8"), ("length", "<i8"), ("json", "?"), ("label", "<i4")],
    ]
)
"""A row: the checksum of its key, which says whether it is held out; the offsets of its first header, of its picture
and of its captions (-1: none), which may stand in a .json; their sizes; its class."""
Rows = NDArray[Any]
_NAME = re.compile(r"((?:.*/|)[^./]+)\.([^/]*)", re.DOTALL)


class Member(NamedTuple):
    """A file in a tar."""

    key: str
    ending: str
    head: int
    """Where its header begins."""
    start: int
    size: int


def rows_of_tar(file: BinaryIO, json_caption: str, json_label: str) -> Rows:
    """The rows in the order of their checksums; contents are passed over, but for those of .cls and .json.

    The members of a row follow each other and have a key in common: what their path has before the first dot of its
    last part, as the library webdataset has it. Only plain files count. A tar without the block of zeros that ends it
    has lost something, and has a row that says so.
    """
    end = file.seek(0, os.SEEK_END)
    file.seek(0)
    try:
        tar = tarfile.TarFile(fileobj=file)
    except tarfile.TarError:
        return fault(NO_TAR)
    parts = groupby(_members(tar, end), lambda member: member.key)
    rows = [_row(key, list(members), file, json_caption, json_label) for key, members in parts]
    file.seek(tar.offset)
    ended = file.read(tarfile.BLOCKSIZE) == bytes(tarfile.BLOCKSIZE)
    found = np.array(rows, dtype=ROW)
    return np.sort(found if ended else np.concatenate([fault(CUT), found]), order="place", kind="stable")


def fault(which: int) -> Rows:
    """The row that says what is wrong with a shard."""
    return np.array([(0, 0, which, 0, -1, 0, False, NO_CLASS)], dtype=ROW)


def name_at(content: bytes, start: int) -> str:
    """The name of the member whose content begins at `start`, else of the first; a header begins at the first byte."""
    tar = tarfile.TarFile(fileobj=BytesIO(content))
    name = ""
    with suppress(tarfile.TarError):  # what follows is not all there
        for member in tar:
            if name and member.offset_data > start:
                break
            name = member.name
    return name


def _members(tar: tarfile.TarFile, end: int) -> Iterator[Member]:
    """The plain files that are there to their last byte."""
    try:
        for info in tar:
            name = _NAME.fullmatch(info.name)
            if name and info.isreg() and not info.issparse() and info.offset_data + info.size <= end:
                yield Member(name[1], name[2].lower(), info.offset, info.offset_data, info.size)
    except tarfile.TarError:  # the block after the last member tells
        return


def _row(key: str, members: list[Member], file: BinaryIO, json_caption: str, json_label: str) -> tuple[Any, ...]:
    pictures = [member for member in members if member.ending in PICTURES]
    picture = pictures[0] if len(pictures) == 1 else None
    which = NO_PICTURE if not pictures else TWO_PICTURES
    told = {member.ending: member for member in members}
    said = _json(_content(file, told["json"])) if "json" in told else {}
    text = told.get("json" if "txt" not in told and said and json_caption in said else "txt")
    label = BAD_JSON if said is None else _class(said.get(json_label))
    if "cls" in told and said is not None:
        label = _class(_content(file, told["cls"]).decode("latin-1").strip())
    return (
        zlib.crc32(key.encode("utf-8", "surrogateescape")),
        members[0].head,
        *((which, 0) if picture is None else (picture.start, picture.size)),
        *((-1, 0) if text is None else (text.start, text.size)),
        text is not None and text.ending == "json",
        label,
    )


def _content(file: BinaryIO, member: Member) -> bytes:
    file.seek(member.start)
    return file.read(member.size)


def _json(content: bytes) -> dict[str, Any] | None:
    """The object that is written there, None for anything else."""
    try:
        said = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


def _class(value: object) -> int:
    if value is None:
        return NO_CLASS
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else BAD_CLASS
