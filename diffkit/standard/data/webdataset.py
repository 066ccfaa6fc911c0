"""Pictures in tar shards, of any number, here or elsewhere."""

import json
from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Annotated, Literal, get_args

import numpy as np
from jaxtyping import Int64
from torch import Tensor

from diffkit.core.bad import BadSample, Policy
from diffkit.core.errors import DiffkitError
from diffkit.core.types import Batch, Count, Fraction, Natural, Positive, Range
from diffkit.standard.data.captions import captions_of, checked_captions
from diffkit.standard.data.pictured import LoadedPictures, Offered
from diffkit.standard.data.pixels import Light, Pictures
from diffkit.standard.data.shards import headers
from diffkit.standard.data.shards.index import Indexer
from diffkit.standard.data.shards.names import remote, shard_names
from diffkit.standard.data.shards.parts import Part, parted
from diffkit.standard.data.shards.store import Store
from diffkit.standard.data.stream import Split
from diffkit.standard.data.tables.cache import root
from diffkit.standard.data.turns import Arranged
from diffkit.standard.data.workers import cores

HEADERS = 1 << 14
"""How many bytes hold all headers of a member, whatever its name."""
_SHARD = {
    headers.CUT: "it ends too early, or is damaged: the rows after that are lost",
    headers.NO_TAR: "it is no tar; a compressed one must be unpacked, as .tar",
    headers.UNREADABLE: "there is no such file, or it cannot be read",
}
_PICTURE = {
    headers.NO_PICTURE: f"there is no picture under its key ({' '.join('.' + e for e in headers.PICTURES)}, beside it)",
    headers.TWO_PICTURES: "there are two pictures under one key",
}
_CLASS = {headers.BAD_CLASS: "its class is no whole number from 0 on", headers.BAD_JSON: "its .json is no JSON object"}


class WebDataset(LoadedPictures, Arranged):
    """The pictures in tar shards, decoded as training goes; grey levels from 0 to 255, as those of `image_folder`.

    `shards` is a pattern such as `data/train-{000..099}.tar`, one with stars, a folder, or a list of these; `://` in it
    makes them remote (https://, s3://, all that fsspec knows). A row is what follows each other under one key, as the
    library webdataset writes it: a picture (.jpg .jpeg .png .webp); captions in .txt, one a line, or under
    `json_caption` in .json; a class, a number from 0 on, in .cls, or under `json_label` in .json (`labels` false:
    none). Links and other members are passed over, and nothing is ever extracted. The test split are `test_shards`, or
    else a share `held_out` of the rows, whose keys decide.

    Local shards are read where they lie. Remote ones are fetched whole, when they are needed, into `$DIFFKIT_CACHE`:
    the last `keep` that were used stay there. Before the first run the headers of all shards are read, for which remote
    ones are fetched once; what they say is kept there too, about 50 bytes a row.

    An epoch takes the shards in a random order, `open_shards` at a time, and the rows of these in a random order: it is
    a function of (seed, epoch), of which any place is known at once. So a run goes on exactly where it was, with any
    number of workers and devices, which the shuffling of a stream through a buffer could not promise; this is why the
    library itself is not used here. A row meets rows of the same `open_shards` shards alone: shards should be mixed, as
    they are if their rows are not in the order of their classes.

    A shard that cannot be read, or not to its end, counts as one bad row. Raises `DiffkitError` for patterns that name
    no shard, for shards without rows, and for classes without a name.
    """

    def __init__(
        self,
        shards: str | Sequence[str],
        test_shards: str | Sequence[str] | None = None,
        resolution: Annotated[int, Range(4)] = 64,
        channels: Literal[1, 3] = 3,
        background: tuple[Light, Light, Light] = (255, 255, 255),
        json_caption: str = "caption",
        json_label: str = "label",
        labels: bool = True,
        class_names: Sequence[str] = (),
        held_out: Fraction = 0.1,
        flip: bool = False,
        mean: float = 127.5,
        scale: Positive = 63.75,
        open_shards: Count = 8,
        keep: Count = 24,
        batch_size: Count = 64,
        workers: Natural | None = None,
        on_bad: Policy = "error",
        seed: int = 0,
    ) -> None:
        self.open_shards, self.json_caption = open_shards, json_caption
        names = shard_names(shards, "data.shards")
        tests = [] if test_shards is None else shard_names(test_shards, "data.test_shards")
        if any(map(remote, (*names, *tests))) and keep < 2 * open_shards:
            raise DiffkitError(f"data.keep={keep} is too few for data.open_shards={open_shards}: keep twice as many")
        folder = root() / "shards"
        fetched = sha256("\n".join(sorted({*names, *tests})).encode()).hexdigest()[:24]
        self.store = Store(folder / fetched, keep, open_shards)
        indexer = Indexer(self.store, folder / "index", json_caption, json_label)
        processes = cores() if workers is None else workers
        rows, ends = indexer.all(names, processes)
        train, test = parted(names, rows, ends, 0.0 if tests else held_out)
        if tests:
            test, _ = parted(tests, *indexer.all(tests, processes), 0.0)
        self.parts: dict[Split, Part] = {"train": train, "test": test}
        offered = Offered(
            self._classes(class_names) if labels else 0, tuple(class_names) if labels else (), self._captioned()
        )
        super().__init__(
            Pictures(resolution, channels, background), offered, mean, scale, flip, batch_size, seed, workers, on_bad
        )

    def setup(self, stage: str) -> None:
        """Note the shards that cannot be read; raises `DiffkitError` for one, unless bad rows are skipped."""
        found = [bad for part in self.parts.values() for bad in _faults(part)]
        self._taken({}, found)

    def count(self, split: Split) -> int:
        """How many rows a split has."""
        return len(self.parts[split])

    def arrange(self, split: Split, first: int, *key: int | str) -> Iterator[Int64[Tensor, " rows"]]:
        """See `Arranged`: the shards in groups; when a quarter of a group was given, the next one is fetched."""
        part = self.parts[split]
        groups = part.groups(self.open_shards, *key)
        for number, group in enumerate(groups):
            size = part.size(group)
            if first < size:
                rows = part.mixed(group, *key, number)[first:]
                yield rows[: size // 4]
                self.store.fetch_ahead(part.shards[shard] for some in groups[number + 1 : number + 2] for shard in some)
                yield rows[size // 4 :]
            first = max(0, first - size)

    def load(self, split: Split, row: int) -> Batch:
        """A picture with its class and captions."""
        shard, found = self.parts[split].find(row)
        where = int(found["picture"])
        if where <= headers.CUT:
            raise BadSample(shard, _SHARD[where])
        if where < 0:
            raise BadSample(self._place(shard, found, 0), _PICTURE[where])
        content = self._content(shard, where, int(found["size"]))
        columns: dict[str, object] = {"x": self.decoded(content, lambda: self._place(shard, found, where))}
        if "label" in self.spec.conditions:
            columns["label"] = int(found["label"])
            if found["label"] < headers.NO_CLASS:
                raise BadSample(self._place(shard, found, 0), _CLASS[int(found["label"])])
        if "text" in self.spec.conditions:
            columns["text"] = self._captions(shard, found)
        return columns

    def captions(self, column: str) -> Iterator[str]:
        """Every caption of both splits; the pictures are not looked at."""
        for split in get_args(Split):
            for row in range(self.count(split)):
                try:
                    yield from self._captions(*self.parts[split].find(row))
                except BadSample:
                    if self.on_bad == "error":
                        raise

    def _captions(self, shard: str, row: np.void) -> tuple[str, ...]:
        start = int(row["text"])
        if start < 0:
            return ()
        content = self._content(shard, start, int(row["length"]))
        try:
            return self._told(content, bool(row["json"]), shard)
        except BadSample:  # finding the name takes reading the header
            return self._told(content, bool(row["json"]), self._place(shard, row, start))

    def _told(self, content: bytes, from_json: bool, place: str) -> tuple[str, ...]:
        if not from_json:
            return captions_of(content, place)
        captions = checked_captions(json.loads(content)[self.json_caption], content, place, 0)
        if isinstance(captions, BadSample):
            raise captions
        return captions

    def _content(self, shard: str, start: int, size: int) -> bytes:
        content = self.store.read(shard, start, size)
        if len(content) < size:
            raise BadSample(shard, "it is shorter than when its rows were counted")
        return content

    def _place(self, shard: str, row: np.void, start: int) -> str:
        """The shard and the name of the member whose content begins at `start`, or of the row's first."""
        head = int(row["head"])
        content = self.store.read(shard, head, max(0, start - head) + HEADERS)
        return f"{shard}: {headers.name_at(content, start - head)}"

    def _captioned(self) -> bool:
        return any(bool((part.rows["text"] >= 0).any()) for part in self.parts.values())

    def _classes(self, names: Sequence[str]) -> int:
        """How many classes there are; raises `DiffkitError` where there are less names."""
        found = 1 + max(int(part.rows["label"].max(initial=-1)) for part in self.parts.values())
        if names and found > len(names):
            raise DiffkitError(f"data.class_names are {len(names)}, and there are rows of class {found - 1}")
        return len(names) if found and names else found


def _faults(part: Part) -> Iterator[BadSample]:
    """What is wrong with whole shards: the row that says so is the first one."""
    for shard, first, size in zip(part.shards, part.first, part.sizes, strict=True):
        if size and part.rows[first]["picture"] <= headers.CUT:
            yield BadSample(shard, _SHARD[int(part.rows[first]["picture"])])
