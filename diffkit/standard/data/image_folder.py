"""A folder of pictures, with captions beside them and classes by sub-folder."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, get_args

from diffkit.core.bad import BadSample, Policy
from diffkit.core.types import Batch, Count, Fraction, Natural, Positive, Range
from diffkit.standard.data.captions import Told, captions_of
from diffkit.standard.data.listing import shown
from diffkit.standard.data.pictured import LoadedPictures, Offered
from diffkit.standard.data.pixels import Light, Pictures
from diffkit.standard.data.stream import Split
from diffkit.standard.data.tree import read_tree


class ImageFolder(LoadedPictures):
    """The pictures of a folder and its sub-folders, decoded as training goes; grey levels from 0 to 255.

    Endings: .bmp .gif .jpeg .jpg .pgm .png .ppm .tif .tiff .webp; hidden files are left out. `Pictures` says what
    becomes of each. The standardised pictures have mean 0 and deviation 1 where their levels have `mean` and `scale`:
    by default the middle of the range and a quarter of it, which is near what most pictures have.

    Captions are the lines of a .txt file beside the picture, or stand in the file `captions` (CSV or JSONL). Classes
    are the first sub-folders, where there are two or more (`labels` false: none). The test split is the folder `test`,
    `val` or `validation` beside `train`, or else a share `held_out` of the pictures, whose names decide. `flip` mirrors
    every second picture, at random. Raises `DiffkitError` for a folder or a file of captions that is of no use.
    """

    def __init__(
        self,
        folder: str,
        resolution: Annotated[int, Range(4)] = 64,
        channels: Literal[1, 3] = 3,
        background: tuple[Light, Light, Light] = (255, 255, 255),
        captions: str | None = None,
        labels: bool = True,
        held_out: Fraction = 0.1,
        flip: bool = False,
        mean: float = 127.5,
        scale: Positive = 63.75,
        batch_size: Count = 64,
        workers: Natural | None = None,
        on_bad: Policy = "error",
        seed: int = 0,
    ) -> None:
        self.folder = Path(folder).expanduser()
        self.tree = read_tree(self.folder, held_out)
        self.told = None if captions is None else Told(Path(captions).expanduser(), self.folder, self.tree.files)
        names = self.tree.class_names if labels else ()
        offered = Offered(len(names), names, self.told is not None or self.tree.captioned)
        pictures = Pictures(resolution, channels, background)
        super().__init__(pictures, offered, mean, scale, flip, batch_size, seed, workers, on_bad)

    def count(self, split: Split) -> int:
        """How many pictures a split has."""
        return len(self.tree.files[split])

    def load(self, split: Split, row: int) -> Batch:
        """A picture with its class and captions."""
        file = self._file(split, row)
        columns: dict[str, object] = {"x": self.decoded(_content(file), lambda: shown(file))}
        if "label" in self.spec.conditions:
            columns["label"] = int(self.tree.classes[split][row])
        if "text" in self.spec.conditions:
            columns["text"] = self._captions(split, row)
        return columns

    def captions(self, column: str) -> Iterator[str]:
        """Every caption of both splits; the pictures are not looked at."""
        for split in get_args(Split):
            for row in range(self.count(split)):
                try:
                    yield from self._captions(split, row)
                except BadSample:
                    if self.on_bad == "error":
                        raise

    def _file(self, split: Split, row: int) -> str:
        return os.path.join(self.folder, os.fsdecode(self.tree.files[split][row]))

    def _captions(self, split: Split, row: int) -> tuple[str, ...]:
        if self.told is not None:
            return self.told.of(split, row)
        file = os.path.splitext(self._file(split, row))[0] + ".txt"
        return captions_of(_content(file), shown(file))


def _content(file: str) -> bytes:
    """The bytes of a file; raises `BadSample` if it cannot be read."""
    try:
        with open(file, "rb") as opened:
            return opened.read()
    except FileNotFoundError:
        fault = "it is a link to a file that is not there" if os.path.islink(file) else "there is no such file"
        raise BadSample(shown(file), fault) from None
    except OSError as error:
        raise BadSample(shown(file), f"it cannot be read: {error.strerror or error}") from None
