"""Flowers of three kinds of iris, measured in centimetres: 150 rows that come with scikit-learn."""

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

NAMES = ("sepal length", "sepal width", "petal length", "petal width")
SPECIES = ("setosa", "versicolor", "virginica")
MEAN = (5.876, 3.057, 3.786, 1.203)
SCALE = (0.8511310122419461, 0.45678331843446296, 1.7877371171399894, 0.7566313501302995)
"""Of the training split."""


class Iris(MemoryData):
    """Length and width of the sepals and petals of 150 irises, in cm; the species is the label.

    A third of each species is the test split. Reference: Fisher, The use of multiple measurements in taxonomic
    problems, Annals of Eugenics, 1936.
    """

    def __init__(self, batch_size: Count = 128, seed: int = 0) -> None:
        spec = DataSpec((4,), {"label": 3}, "cm", MEAN, SCALE, low=0.0, names=NAMES, class_names=SPECIES)
        super().__init__(spec, batch_size, seed)

    def read(self, split: Split) -> Batch:
        """The measurements, and the species."""
        from sklearn.datasets import load_iris
        from sklearn.model_selection import train_test_split

        x, label = load_iris(return_X_y=True)
        parts = train_test_split(x, label, test_size=50, stratify=label, random_state=0)
        rows, species = (parts[0], parts[2]) if split == "train" else (parts[1], parts[3])
        return {"x": self.spec.standardise(torch.from_numpy(rows)).float(), "label": torch.from_numpy(species)}

    def draw(self, x: Float[Tensor, "rows columns *d"], titles: Sequence[str] = ()) -> "Image":
        """A corner plot for each panel, over the data."""
        from diffkit.standard.data.corner import over_data

        return over_data(self, x, titles)
