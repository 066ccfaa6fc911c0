"""Any table of numbers in a CSV or Parquet file, of any length."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from jaxtyping import Float
from torch import Tensor

from diffkit.core.data import DataSpec, Drawing, Portable
from diffkit.core.types import Batch, Count, Range
from diffkit.standard.data.memory import MemoryData, Split
from diffkit.standard.data.tables.cache import kept
from diffkit.standard.data.tables.columns import Wanted
from diffkit.standard.data.tables.source import Delimiter

if TYPE_CHECKING:
    from PIL.Image import Image


class Table(MemoryData, Portable):
    """The columns of numbers of a table: a row is a sample.

    `file` is a CSV (UTF-8, a line of names first) or a Parquet file. `columns` are the numbers to learn, by name; by
    default all that begin with numbers and are not asked for otherwise. Their units stand in the names, as
    `bill_length (mm)` or `bill_length [mm]`, or are given by `units: {bill_length: mm}`. `label` is a column of
    categories, or several whose combinations are the classes; `text` one of captions. Empty entries, NA, NaN and null
    are missing: the number is in no error, the label is none. Of each `hold_out` rows of a class that follow each other
    one is held out.

    The table is converted once, piece by piece, into files in `$DIFFKIT_CACHE` (by default `~/.cache/diffkit`) that are
    mapped into memory; it is made again when the file changes. Raises `DiffkitError`, with column and line, for what is
    no finite number, for a column without a name or with that of another, and for one that is the same in all rows.
    """

    def __init__(
        self,
        file: str,
        columns: Sequence[str] | None = None,
        units: Mapping[str, str] | None = None,
        label: str | Sequence[str] | None = None,
        text: str | None = None,
        delimiter: Delimiter = "comma",
        hold_out: Annotated[int, Range(2)] = 5,
        batch_size: Count = 256,
        seed: int = 0,
    ) -> None:
        labels = (label,) if isinstance(label, str) else tuple(label or ())
        wanted = Wanted(None if columns is None else tuple(columns), dict(units or {}), labels, text)
        self._kept = kept(Path(file).expanduser(), wanted, delimiter, hold_out)
        about = self._kept.about
        conditions = {"label": len(about["class_names"])} if labels else {}
        spec = DataSpec(
            shape=(len(about["names"]),),
            conditions=conditions | ({"text": None} if text else {}),
            unit=tuple(about["units"]),
            mean=tuple(about["mean"]),
            scale=tuple(about["scale"]),
            names=tuple(about["names"]),
            class_names=tuple(about["class_names"]),
        )
        super().__init__(spec, batch_size, seed)

    def read(self, split: Split) -> Batch:
        """The columns, mapped into memory."""
        return self._kept.columns(split)

    @classmethod
    def drawing(cls, spec: DataSpec, rows: Callable[[], Batch | None]) -> Drawing:
        """See `Portable`: without the data nothing is below the samples."""
        from diffkit.standard.data.corner import CornerPlots

        return CornerPlots(spec, rows())

    def draw(self, x: Float[Tensor, "rows columns *d"], titles: Sequence[str] = ()) -> "Image":
        """A corner plot for each panel, over the data."""
        from diffkit.standard.data.corner import over_data

        return over_data(self, x, titles)
