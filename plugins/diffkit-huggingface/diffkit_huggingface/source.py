"""A split of a data set: saved in a folder, in files, or on the hub."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from diffkit.core import DiffkitError

READERS = {".parquet": "parquet", ".csv": "csv", ".tsv": "csv", ".json": "json", ".jsonl": "json", ".arrow": "arrow"}
SECONDS = 5.0
"""How long the hub may take to answer at all."""


@dataclass(frozen=True)
class Source:
    """Where a data set is: a folder, a file, or a name on the hub."""

    path: str
    config: str | None = None
    revision: str | None = None
    streaming: bool = False
    """Whether files are read as they come, and not turned into Arrow files first."""

    def split(self, name: str) -> Any:
        """A split, of which nothing is read yet; raises `DiffkitError` if it cannot be had."""
        with quietly():
            try:
                return self._split(name)
            except DiffkitError:
                raise
            except Exception as error:  # of a file's content, of the network, or of a library beneath
                said = " ".join(str(error).split()) or repr(error)
                raise DiffkitError(f"data=huggingface path={self.path} split={name}: {said}") from error

    def _split(self, name: str) -> Any:
        from datasets import load_dataset, load_from_disk

        local = Path(self.path).expanduser()
        if (local / "state.json").is_file() or (local / "dataset_dict.json").is_file():
            found = load_from_disk(str(local))
            if not isinstance(found, dict):
                found = {"train": found}
            if name not in found:
                raise DiffkitError(f"data=huggingface: {local} has no split {name!r}, but {', '.join(found)}")
            return found[name].to_iterable_dataset() if self.streaming else found[name]
        if local.is_file():
            if local.suffix.lower() not in READERS:
                raise DiffkitError(f"data=huggingface: {local} is none of {' '.join(READERS)}")
            return load_dataset(
                READERS[local.suffix.lower()], data_files=str(local), split=name, streaming=self.streaming
            )
        if local.is_dir():
            return load_dataset(str(local), self.config, split=name, streaming=self.streaming)
        if local.is_absolute() or self.path.startswith(("~", ".")):
            raise DiffkitError(f"data=huggingface: there is no {local}: give a folder, a file, or a name on the hub")
        with _offline_unless_reached(self.path):
            return load_dataset(self.path, self.config, split=name, revision=self.revision, streaming=self.streaming)


@contextmanager
def quietly() -> Iterator[None]:
    """Without the library's bars and remarks."""
    from datasets import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars, logging

    shown, level = not are_progress_bars_disabled(), logging.get_verbosity()
    disable_progress_bars()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if shown:
            enable_progress_bars()


@contextmanager
def _offline_unless_reached(path: str) -> Iterator[None]:
    """What the hub gave before is all that there is where it does not answer: the library would try for minutes."""
    import datasets.config
    import huggingface_hub.constants

    hub = urlsplit(os.environ.get("HF_ENDPOINT", "https://huggingface.co"))
    if getproxies() or datasets.config.HF_HUB_OFFLINE:
        yield
        return
    try:
        socket.create_connection((hub.hostname or "", hub.port or 443), timeout=SECONDS).close()
    except OSError as error:
        try:
            datasets.config.HF_HUB_OFFLINE = huggingface_hub.constants.HF_HUB_OFFLINE = True
            yield
        except Exception:
            raise DiffkitError(
                f"data=huggingface: there is no folder or file {path}, and {hub.hostname}, where there may be such a"
                f" data set, cannot be reached ({error.strerror or error}): give a local path"
            ) from None
        finally:
            datasets.config.HF_HUB_OFFLINE = huggingface_hub.constants.HF_HUB_OFFLINE = False
        return
    yield
