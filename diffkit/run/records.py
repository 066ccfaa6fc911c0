"""What a run records beside numbers, and the interface of a logger that takes it."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from PIL.Image import Image

from diffkit.run.folder import RunFolder


@dataclass(frozen=True)
class RunInfo:
    """What a logger may know of the run that it records."""

    folder: RunFolder
    name: str
    config: dict[str, Any]
    """The resolved choices, as plain values."""
    group: str | None = None
    tags: tuple[str, ...] = ()
    step: int = 0
    """The step at which this run, if it is resumed, goes on."""


@dataclass(frozen=True)
class Pictures:
    """Pictures under captions."""

    images: Sequence[Image]
    captions: Sequence[str]


@dataclass(frozen=True)
class Histogram:
    """A value for each bin between neighbouring edges."""

    values: Sequence[float]
    edges: Sequence[float]


@dataclass(frozen=True)
class Table:
    """Rows of values and pictures under named columns."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]] = field(repr=False)


@dataclass(frozen=True)
class Files:
    """A folder to keep with the run; `kind` says what it is: `"model"`."""

    path: Path
    kind: str


@dataclass(frozen=True)
class Clip:
    """A film, as a GIF, under a caption."""

    path: Path
    caption: str


Content = Pictures | Histogram | Table | Files | Clip


class Recorder(Logger, ABC):
    """A logger that takes more than numbers. It is built with `info`, a `RunInfo`, beside its own settings."""

    @abstractmethod
    def record(self, name: str, content: Content, step: int) -> None:
        """Keep `content`; what it has no use for it passes over."""

    @abstractmethod
    def close(self, status: int) -> None:
        """The run has ended with this exit status (0: it finished)."""


def log(loggers: Sequence[Logger], name: str, content: Content, step: int) -> None:
    """Give `content` to every logger that takes more than numbers."""
    for logger in loggers:
        if isinstance(logger, Recorder):
            logger.record(name, content, step)
