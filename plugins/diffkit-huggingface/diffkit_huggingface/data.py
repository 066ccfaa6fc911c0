"""Pictures of a data set of the library datasets."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import numpy as np

from diffkit.core import BadSample, Batch, Count, DiffkitError, Fraction, Natural, Policy, Positive, Range
from diffkit.standard.data import LoadedPictures, Offered, Pictures, Streamed
from diffkit_huggingface.columns import columns_of
from diffkit_huggingface.parts import rows_of, streams_of
from diffkit_huggingface.source import Source

Light = Annotated[int, Range(0, 255)]
Split = Literal["train", "test"]


class Huggingface(LoadedPictures, Streamed):
    """The pictures of a data set of the library datasets, decoded as training goes; grey levels from 0 to 255.

    `path` is a folder that `save_to_disk` wrote, a file (.parquet .csv .json .jsonl .arrow), a folder of these, or a
    name on the hub, with its `config` and `revision`; no code of a data set is ever run. The columns are `image`;
    `text`, of strings or lists of them; and `label`, classes with names. Those that are not said are found by what they
    hold; `''` leaves one out. The test split is `test_split`, or else a share `held_out` of the rows, always the same.

    Rows are read from Arrow files, which may be larger than memory, in the order of `image_folder`: the same for any
    number of workers and devices, and after a resume. Pictures are handled as there.

    `streaming` reads the files as they come, and keeps nothing: their rows are mixed by the library's own shuffle,
    through a `buffer` of so many, which is a function of (seed, epoch). It is as exact, and slower: each device takes
    in all rows and decodes its own, and a run that is resumed takes in those of its epoch again. A share that is held
    out is then the first rows. The files are gone through once to count the rows where the set does not say how many
    there are, and `on_bad` must be "error".

    Raises `DiffkitError` for a data set that cannot be had, for columns that are not there or hold something else, and
    where several may be meant. Lhoest et al. 2021, Datasets: A Community Library for Natural Language Processing.
    """

    def __init__(
        self,
        path: str,
        config: str | None = None,
        revision: str | None = None,
        streaming: bool = False,
        split: str = "train",
        test_split: str | None = None,
        image: str | None = None,
        text: str | None = None,
        label: str | None = None,
        resolution: Annotated[int, Range(4)] = 64,
        channels: Literal[1, 3] = 3,
        background: tuple[Light, Light, Light] = (255, 255, 255),
        held_out: Fraction = 0.1,
        flip: bool = False,
        buffer: Count = 1000,
        mean: float = 127.5,
        scale: Positive = 63.75,
        batch_size: Count = 64,
        workers: Natural | None = None,
        on_bad: Policy = "error",
        seed: int = 0,
    ) -> None:
        from datasets import Image

        if streaming and on_bad == "skip":
            raise DiffkitError("data.on_bad=skip needs rows that can be had in any order: data.streaming=false")
        source = Source(path, config, revision, streaming)
        whole = source.split(split)
        self.columns = columns_of(whole.features or {}, image, text, label)
        names = tuple(whole.features[self.columns.label].names) if self.columns.label else ()
        wanted, picture = self.columns.names(), self.columns.image

        def read(found: Any) -> Any:
            return found.select_columns(wanted).cast_column(picture, Image(decode=False))

        tests = read(source.split(test_split)) if test_split else None
        licence, whole = str(whole.info.license or ""), read(whole)
        self.streams, self.buffer = streaming, buffer
        self.names: dict[Split, str] = {"train": f"{path}, {split}", "test": f"{path}, {test_split or split}"}
        parts = streams_of(whole, tests, split, test_split, held_out) if streaming else rows_of(whole, tests, held_out)
        self.sets: dict[Split, Any] = {"train": parts[0], "test": parts[1]}
        self.counts: dict[Split, int] = {"train": parts[2], "test": parts[3]}
        if not all(self.counts.values()):
            raise DiffkitError(
                f"data=huggingface: {path} has too few rows for two splits: give more, or data.test_split"
            )
        offered = Offered(len(names), names, bool(self.columns.text), licence)
        pictures = Pictures(resolution, channels, background)
        super().__init__(pictures, offered, mean, scale, flip, batch_size, seed, workers, on_bad)

    def count(self, split: Split) -> int:
        """How many rows a split has."""
        return self.counts[split]

    def stream(self, split: Split, epoch: int | None) -> Iterator[tuple[str, dict[str, Any]]]:
        """See `Streamed`; each row with where it is."""
        seed = int(np.random.SeedSequence([0] if epoch is None else [1, self.seed, epoch]).generate_state(1)[0])
        number, said = 0, "" if epoch is None else f" of epoch {epoch}"
        for number, row in enumerate(self.sets[split].shuffle(seed=seed, buffer_size=self.buffer), 1):
            yield f"{self.names[split]}, row {number}{said} as shuffled", row
        if number != self.counts[split]:
            said = f"{self.names[split]} says that it has {self.counts[split]} rows, and gave {number}"
            raise DiffkitError(f"{said}: data.streaming=false")

    def load(self, split: Split, row: Any) -> Batch:
        """A picture with its class and captions."""
        place, found = row if self.streams else (f"{self.names[split]}, row {row}", self.sets[split][row])
        content = _content(found[self.columns.image], place)
        columns: dict[str, object] = {"x": self.decoded(content, lambda: place)}
        if self.columns.label:
            label = found[self.columns.label]
            columns["label"] = -1 if label is None else label
        if self.columns.text:
            columns["text"] = _captions(found[self.columns.text], place)
        return columns

    def captions(self, column: str) -> Iterator[str]:
        """Every caption of both splits; the pictures are not looked at."""
        for split in get_args(Split):
            for row, found in enumerate(self.sets[split].select_columns([self.columns.text])):
                try:
                    yield from _captions(found[self.columns.text], f"{self.names[split]}, row {row}")
                except BadSample:
                    if self.on_bad == "error":
                        raise


def _content(picture: Any, place: str) -> bytes:
    """The bytes of a picture's file; raises `BadSample` if there are none."""
    if picture is None:
        raise BadSample(place, "there is no picture")
    if picture["bytes"] is not None:
        return bytes(picture["bytes"])
    try:
        return Path(picture["path"]).read_bytes()
    except OSError as error:
        raise BadSample(place, f"{picture['path']} cannot be read: {error.strerror or error}") from None


def _captions(value: Any, place: str) -> tuple[str, ...]:
    """Strings; raises `BadSample` for an empty one."""
    found = () if value is None else (value,) if isinstance(value, str) else tuple(value)
    if not all(isinstance(text, str) and text.strip() and "\0" not in text for text in found):
        raise BadSample(place, "a caption is empty, or has a NUL")
    return tuple(text.strip() for text in found)
