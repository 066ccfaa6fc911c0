"""Penguins of three species, measured in millimetres and grams: the table that comes with palmerpenguins."""

import csv
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core.data import KNOWN, DataSpec, Drawing, Portable
from diffkit.core.errors import DiffkitError
from diffkit.core.types import Batch, Count
from diffkit.standard.data.memory import MemoryData, Split

if TYPE_CHECKING:
    from PIL.Image import Image

COLUMNS = {"bill_length": "mm", "bill_depth": "mm", "flipper_length": "mm", "body_mass": "g"}
"""The unit of each; the file's own names end in it."""
SPECIES = ("Adelie", "Chinstrap", "Gentoo")
MEAN = (43.89605263157897, 17.186842105263153, 201.08333333333334, 4203.399122807017)
SCALE = (5.332006323685898, 2.0407692545968668, 13.706736829126186, 765.5063416602356)
"""Of the training split."""


class Penguins(MemoryData, Portable):
    """Bills and flippers of 342 penguins in mm, and their mass in g; the species is the label.

    Two birds of the 344 were not measured at all, and are left out. A third of each species is the test split.
    Reference: Gorman, Williams and Fraser, Ecological sexual dimorphism and environmental variability within a
    community of Antarctic penguins, PLoS ONE, 2014.
    """

    def __init__(self, batch_size: Count = 256, seed: int = 0) -> None:
        units = tuple(COLUMNS.values())
        spec = DataSpec((4,), {"label": 3}, units, MEAN, SCALE, 0.0, names=tuple(COLUMNS), class_names=SPECIES)
        super().__init__(spec, batch_size, seed)

    def read(self, split: Split) -> Batch:
        """The measurements, the species, and which numbers are known where some are not.

        Raises `DiffkitError` where the package palmerpenguins is not installed.
        """
        from sklearn.model_selection import train_test_split

        values, species = _measured()
        label = np.array([SPECIES.index(name) for name in species])
        places = train_test_split(np.arange(len(label)), test_size=1 / 3, stratify=label, random_state=0)
        rows = places[0 if split == "train" else 1]
        x = torch.from_numpy(values[rows])
        known = ~x.isnan()
        columns = {"x": self.spec.standardise(x).nan_to_num(0.0).float(), "label": torch.from_numpy(label[rows])}
        return columns if bool(known.all()) else {**columns, KNOWN: known}

    @classmethod
    def drawing(cls, spec: DataSpec, rows: Callable[[], Batch | None]) -> Drawing:
        """See `Portable`: without the data nothing is below the samples."""
        from diffkit.standard.data.corner import CornerPlots

        return CornerPlots(spec, rows())

    def draw(self, x: Float[Tensor, "rows columns *d"], titles: Sequence[str] = ()) -> "Image":
        """A corner plot for each panel, over the data."""
        from diffkit.standard.data.corner import over_data

        return over_data(self, x, titles)


def _measured() -> tuple[Any, list[str]]:
    """The numbers (rows, columns), NaN where one is missing, and the species, of birds of which something is known."""
    try:  # not by importing the package, which imports pandas
        file = Path(str(distribution("palmerpenguins").locate_file("palmerpenguins/data/penguins.csv")))
        text = file.read_text(encoding="utf-8")
    except (PackageNotFoundError, FileNotFoundError):
        raise DiffkitError("data=penguins needs the table of palmerpenguins: pip install palmerpenguins") from None
    lines = list(csv.DictReader(text.splitlines()))
    entries = [[line[f"{name}_{unit}"] for name, unit in COLUMNS.items()] for line in lines]
    values = np.array([[float("nan" if entry == "NA" else entry) for entry in row] for row in entries])
    some = ~np.isnan(values).all(1)
    return values[some], [line["species"] for line, there in zip(lines, some, strict=True) if there]
