"""Handwritten digits with captions: 1797 real pictures of 8 x 8 that come with scikit-learn."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core.data import DataSpec
from diffkit.core.types import Batch, Count
from diffkit.standard.data.memory import MemoryData, Split

if TYPE_CHECKING:
    from PIL.Image import Image

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TEMPLATES = ("{name}", "a {name}", "the digit {digit}", "a handwritten {name}", "a drawing of the number {digit}")
MEAN, SCALE = 4.888872315035799, 6.017991412887688
"""Of all grey levels of the training split."""


class Digits(MemoryData):
    """Handwritten digits of 8 x 8 pixels with 17 grey levels from 0 to 16, their labels, and captions.

    540 of the 1797, with as many of each class as there are in the whole, are the test split.
    Reference: Alpaydin and Kaynak, Optical recognition of handwritten digits, UCI repository, 1998.
    """

    def __init__(self, batch_size: Count = 64, seed: int = 0) -> None:
        spec = DataSpec(
            shape=(1, 8, 8),
            conditions={"label": 10, "text": None},
            unit="grey level",
            mean=(MEAN,),
            scale=(SCALE,),
            low=0.0,
            high=16.0,
            quantum=1.0,
        )
        super().__init__(spec, batch_size, seed)

    def read(self, split: Split) -> Batch:
        """The pictures, labels, and the captions that suit each."""
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        x, label = load_digits(return_X_y=True)
        train_x, test_x, train_label, test_label = train_test_split(
            x, label, test_size=540, stratify=label, random_state=0
        )
        x, label = (train_x, train_label) if split == "train" else (test_x, test_label)
        return {
            "x": self.spec.standardise(torch.tensor(x, dtype=torch.float32).view(-1, 1, 8, 8)),
            "label": torch.tensor(label),
            "text": [captions(int(digit)) for digit in label],
        }

    def draw(self, x: Float[Tensor, "rows columns *d"], titles: Sequence[str] = ()) -> "Image":
        """A tile for each picture, in grey levels."""
        from diffkit.standard.data.drawing import image_grid

        return image_grid(x, titles, 0.0, 16.0)


def captions(digit: int) -> tuple[str, ...]:
    """What one may call the picture of a digit."""
    return tuple(template.format(name=NAMES[digit], digit=digit) for template in TEMPLATES)
