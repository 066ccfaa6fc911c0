"""What all data of pictures that are decoded as training goes have in common."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core.bad import BadSample, Policy
from diffkit.core.data import Augmented, DataSpec, Drawing, Portable
from diffkit.core.types import Batch
from diffkit.standard.data.loaded import LoadedData
from diffkit.standard.data.pixels import Pictures, Pixels, Undecodable

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Offered:
    """What pictures have beside their pixels."""

    classes: int = 0
    """How many there are; none: no labels."""
    class_names: tuple[str, ...] = ()
    texts: bool = False
    """Whether there are captions."""
    licence: str = ""


class LoadedPictures(LoadedData, Augmented, Portable):
    """Pictures that are decoded as training goes: grey levels from 0 to 255, of which `mean` and `scale` are told.

    The columns beside are `"label"` and `"text"`, as far as they are `offered`. `flip` mirrors every second picture, at
    random.
    """

    def __init__(
        self,
        pictures: Pictures,
        offered: Offered,
        mean: float,
        scale: float,
        flip: bool,
        batch_size: int,
        seed: int,
        workers: int | None = None,
        on_bad: Policy = "error",
    ) -> None:
        self.pictures, self.flip, self.augments = pictures, flip, flip
        spec = DataSpec(
            shape=(pictures.channels, pictures.resolution, pictures.resolution),
            conditions={
                **({"label": offered.classes} if offered.classes else {}),
                **({"text": None} if offered.texts else {}),
            },
            unit="grey level",
            mean=(mean,),
            scale=(scale,),
            low=0.0,
            high=255.0,
            licence=offered.licence,
            class_names=offered.class_names,
        )
        super().__init__(spec, batch_size, seed, workers, on_bad)

    def decoded(self, content: bytes, place: Callable[[], str]) -> Pixels:
        """The pixels in the bytes of a picture's file; raises `BadSample`, with the place, where there are none."""
        try:
            return self.pictures.decode(content)
        except Undecodable as fault:
            raise BadSample(place(), str(fault)) from None

    def augment(self, rows: Batch, stream: torch.Generator) -> Batch:
        """Each picture is mirrored or not."""
        if not self.flip:
            return rows
        x = rows["x"]
        mirrored = torch.rand(len(x), 1, 1, 1, generator=stream) < 0.5
        return {**rows, "x": torch.where(mirrored, x.flip(-1), x)}

    @classmethod
    def drawing(cls, spec: DataSpec, rows: Callable[[], Batch | None]) -> Drawing:
        """See `Portable`."""
        from diffkit.standard.data.drawing import ImageGrid

        return ImageGrid(spec, 0.0, 255.0)

    def draw(self, x: Float[Tensor, "rows columns *d"], titles: Sequence[str] = ()) -> "Image":
        """A tile for each picture."""
        from diffkit.standard.data.drawing import image_grid

        return image_grid(x, titles, 0.0, 255.0)
