"""The names of shards from a pattern: braces, stars, a folder."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from glob import glob
from pathlib import Path

from diffkit.core.errors import DiffkitError

_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")


def remote(name: str) -> bool:
    """Whether a shard is fetched before it is read."""
    return "://" in name


def shard_names(patterns: str | Sequence[str], key: str) -> list[str]:
    """Every shard that is meant, in the order of the patterns.

    `{000..099}` stands for each of these numbers, `{a,b}` for each of these words, `*` and `?` for what is there, and a
    folder for all .tar files in it. Raises `DiffkitError`, which names the key, where nothing is meant, or a shard
    twice.
    """
    given = [patterns] if isinstance(patterns, str) else list(patterns)
    found = [name for pattern in given for expanded in _expanded(pattern) for name in _there(expanded, key)]
    if not found:
        raise DiffkitError(f"{key}={patterns!r} names no shard: give a pattern such as data/train-{{000..099}}.tar")
    name, times = Counter(found).most_common(1)[0]
    if times > 1:
        raise DiffkitError(f"{key}: the shard {name} is named {times} times; once is enough")
    return found


def _expanded(pattern: str) -> Iterator[str]:
    """The pattern with each choice of what stands in its braces."""
    braces = _BRACES.search(pattern)
    if braces is None:
        yield pattern
        return
    span = _RANGE.fullmatch(braces[1])
    choices = _numbers(span[1], span[2]) if span else braces[1].split(",")
    for choice in choices:
        yield from _expanded(pattern[: braces.start()] + choice + pattern[braces.end() :])


def _numbers(first: str, last: str) -> list[str]:
    return [f"{number:0{len(first)}}" for number in range(int(first), int(last) + 1)]


def _there(name: str, key: str) -> list[str]:
    """What a name without braces stands for; a file that is named in full need not be there."""
    if remote(name):
        return _matching(name, key) if "*" in name else [name]
    path = Path(name).expanduser()
    if path.is_dir():
        return sorted(str(file) for file in path.glob("*.tar"))
    return sorted(glob(str(path))) if re.search(r"[*?\[]", name) and not path.exists() else [str(path)]


def _matching(pattern: str, key: str) -> list[str]:
    from fsspec.core import url_to_fs

    try:
        system, path = url_to_fs(pattern)
        return sorted(system.unstrip_protocol(found) for found in system.glob(path))
    except Exception as error:  # of any of the systems that fsspec knows
        raise DiffkitError(f"{key}={pattern}: {' '.join(str(error).split())}; name the shards in full") from error
