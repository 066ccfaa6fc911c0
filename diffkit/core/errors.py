"""The one exception base, the one warning base, and the sentence for an unknown name."""

from collections.abc import Iterable
from difflib import get_close_matches


class DiffkitError(Exception):
    """A mistake that its reader can mend: what is wrong, where, and what to do.

    The command prints it without a traceback and exits with `status` (2: the user's mistake).
    """

    status = 2


class RunFailed(DiffkitError):
    """A run that started and then failed by itself (exit status 3)."""

    status = 3


class DiffkitWarning(UserWarning):
    """Something that a run goes on without, and its user should know; the command prints it as one line."""


def nearest(name: str, allowed: Iterable[str]) -> str:
    """One clause that names the close matches of `name`, or else everything that is allowed."""
    allowed = sorted(allowed)
    close = get_close_matches(name, allowed, n=3, cutoff=0.6)
    if close:
        return f"did you mean {' or '.join(repr(c) for c in close)}?"
    return f"choose one of: {', '.join(allowed) or '(none is installed)'}"


def brief(value: object, length: int = 120) -> str:
    """A value in so many characters, for a message that stays readable whatever it was given."""
    text = str(value)
    return text if len(text) <= length else f"{text[: length - 3]}..."
