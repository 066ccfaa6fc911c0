"""YAML files of plain values, from anybody: read as data, and within limits of size and depth."""

from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from diffkit.compose.foreign import check_config
from diffkit.compose.formats import CONFIG, refuse_newer
from diffkit.core.errors import DiffkitError

LARGEST = 1 << 20
"""The bytes that a file may have."""
DEEPEST = 64
"""How deep lists and keys may lie within each other."""
_SEAL = "# diffkit sha256 "
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # of libyaml, eight times as fast, where it was built in


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file of plain values; raises `DiffkitError` for anything else, for one that was changed, or is too new.

    A file is data: what it says is never interpolated, so that it cannot read this machine's environment.
    """
    content = _read(path)
    if content.startswith(b"# diffkit"):
        first, _, rest = content.replace(b"\r\n", b"\n").partition(b"\n")
        if first != _seal(rest):
            raise DiffkitError(
                f"{path} is not as it was written: it is damaged, or was changed since; copy it again, or delete its"
                " first line to use it as it is"
            )
    refuse_bombs(content, str(path))
    try:
        values = yaml.load(content, Loader=_LOADER)
    except (yaml.YAMLError, ValueError) as error:
        raise _not_plain(str(path), error) from error
    if not isinstance(values, dict):
        raise DiffkitError(f"{path} is damaged: it should hold keys and values")
    made = values.get("diffkit")
    refuse_newer(path, made.get("format") if isinstance(made, dict) else None, CONFIG)
    _refuse_more(values, path, "")
    try:
        check_config(values)
    except DiffkitError as error:
        raise DiffkitError(f"{path}: {error}") from None
    return values


def sealed(text: str) -> str:
    """The text of a YAML file under a line with its digest, so that `read_yaml` finds what was changed in it."""
    return f"{_seal(text.encode()).decode()}\n{text}"


def refuse_bombs(content: bytes, where: str) -> None:
    """Raise `DiffkitError` for YAML that is small and means much: too deep, with aliases, or with types of its own.

    What is read is no more than is needed to tell.
    """
    if len(content) > LARGEST:
        raise DiffkitError(f"{where} has more than {LARGEST:,} bytes, which is no config")
    depth = 0
    try:
        for event in yaml.parse(content, Loader=_LOADER):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST:
                raise DiffkitError(f"{where} is nested more than {DEEPEST} deep, which is no config")
            if isinstance(event, yaml.AliasEvent):
                raise DiffkitError(f"{where} has an alias (*{event.anchor}): write out what it stands for")
            if isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent) and event.tag is not None:
                raise DiffkitError(f"{where} has a type of its own ({event.tag}): configs hold plain values only")
    except (yaml.YAMLError, ValueError) as error:
        raise _not_plain(where, error) from error


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(LARGEST + 1)
    except OSError as error:
        raise DiffkitError(f"cannot read {path}: {error.strerror or error}") from error


def _seal(content: bytes) -> bytes:
    return f"{_SEAL}{sha256(content).hexdigest()}".encode()


def _not_plain(where: str, error: Exception) -> DiffkitError:
    return DiffkitError(f"{where} is not plain YAML: {' '.join(str(error).split())}")


def _refuse_more(value: Any, path: Path, where: str) -> None:
    """Raise `DiffkitError` for interpolations, and for what YAML makes of a date."""
    if isinstance(value, str) and "${" in value:
        raise DiffkitError(f"{path} has an interpolation at {where!r}: saved configs hold plain values only")
    if value is not None and not isinstance(value, str | int | float | list | dict):
        raise DiffkitError(f"{path} has a {type(value).__name__} at {where!r}: put it in quotes")
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        if not isinstance(key, str | int | float | None):
            raise DiffkitError(f"{path} has a {type(key).__name__} for a key at {where!r}: put it in quotes")
        _refuse_more(child, path, f"{where}.{key}".lstrip("."))
