"""Tables in CSV and Parquet files, read in pieces; what is wrong with one is said with its line."""

import csv
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from diffkit.core.errors import DiffkitError

Delimiter = Literal["comma", "semicolon", "tab", "pipe"]
DELIMITERS: dict[Delimiter, str] = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
PIECE = 1 << 18
"""The bytes of a piece of a CSV file."""
ROWS = 1 << 14
"""The rows of a piece of a Parquet file."""


class Source(ABC):
    """A table in a file."""

    path: Path
    headers: list[str]
    """The columns' names, as the file has them."""

    @abstractmethod
    def pieces(self) -> Iterator[Any]:
        """The rows in turn, as record batches of pyarrow; those of a CSV file hold text."""

    @abstractmethod
    def place(self, row: int) -> str:
        """Where a row is, in words; the first row is 0."""


def open_table(path: Path, delimiter: Delimiter) -> Source:
    """The table in a file; raises `DiffkitError` for one that cannot be read, or whose columns have no names."""
    try:
        import pyarrow  # noqa: F401
    except ModuleNotFoundError:
        raise DiffkitError("data=table reads files with pyarrow: pip install 'diffkit[table]'") from None
    if not path.is_file():
        raise DiffkitError(f"{path}: there is no such file; give a CSV or Parquet file with data.file=...")
    if not path.stat().st_size:
        raise DiffkitError(f"{path} is empty: a table has a line of names and lines of values")
    kind = path.suffix.lower()
    if kind not in (".csv", ".tsv", ".txt", ".parquet", ".pq"):
        raise DiffkitError(f"{path}: tables are read from .csv (.tsv, .txt) and .parquet (.pq) files")
    return Parquet(path) if kind in (".parquet", ".pq") else Csv(path, DELIMITERS[delimiter])


class Csv(Source):
    """Lines of text in UTF-8 (a byte order mark is passed over), the first one of names."""

    def __init__(self, path: Path, delimiter: str) -> None:
        self.path, self.delimiter = path, delimiter
        self.headers = self._headers()

    def pieces(self) -> Iterator[Any]:
        """See `Source`."""
        import pyarrow as pa
        from pyarrow import csv as reader

        try:
            yield from reader.open_csv(
                self.path,
                reader.ReadOptions(use_threads=False, block_size=PIECE),
                reader.ParseOptions(delimiter=self.delimiter, newlines_in_values=True),
                reader.ConvertOptions(column_types=dict.fromkeys(self.headers, pa.string())),
            )
        except pa.ArrowInvalid as error:
            raise DiffkitError(f"{self.path}{self._fault() or f' cannot be read: {_plain(error)}'}") from None

    def place(self, row: int) -> str:
        """See `Source`."""
        for line, i in zip(self._lines(), range(-1, row + 1), strict=False):
            if i == row:
                return f"line {line[0]}"
        return f"row {row}"

    def _lines(self) -> Iterator[tuple[int, list[str]]]:
        """The number, from 1, of the last line of each row, and its entries; blank lines are no rows."""
        with self.path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file, delimiter=self.delimiter)
            yield from ((lines.line_num, row) for row in lines if row)

    def _headers(self) -> list[str]:
        try:
            headers = next((row for _, row in self._lines()), [])
        except (UnicodeDecodeError, csv.Error):
            raise DiffkitError(f"{self.path}{self._fault() or ' cannot be read as CSV'}") from None
        if not headers:
            raise DiffkitError(f"{self.path} has blank lines alone: a table has a line of names and lines of values")
        others = [name for name, sign in DELIMITERS.items() if sign != self.delimiter and sign in "".join(headers[:1])]
        if len(headers) == 1 and others:
            raise DiffkitError(
                f"{self.path}: its first line, {headers[0]!r:.60}, is one name: choose data.delimiter={others[0]}"
            )
        if headers and all(map(_is_number, headers)):
            raise DiffkitError(f"{self.path}: its first line has numbers: put a line with the columns' names before it")
        return headers

    def _fault(self) -> str | None:
        """What is wrong with the first line that is no row of the table."""
        with self.path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    line.decode("utf-8")
                except UnicodeDecodeError:
                    return f", line {number}, is not UTF-8 text: save the file in that encoding"
        rows = self._lines()
        try:
            wanted = len(next(rows)[1])
            for number, row in rows:
                if len(row) != wanted:
                    return f", line {number}, has entries for {len(row)} columns, and the first line names {wanted}"
        except csv.Error as error:
            return f" cannot be read as CSV: {error}"
        return None


class Parquet(Source):
    """A Parquet file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.headers = list(self._file().schema_arrow.names)

    def pieces(self) -> Iterator[Any]:
        """See `Source`."""
        import pyarrow as pa

        try:
            yield from self._file().iter_batches(ROWS, use_threads=False)
        except (pa.ArrowException, OSError) as error:
            raise DiffkitError(f"{self.path} cannot be read: {_plain(error)}") from None

    def place(self, row: int) -> str:
        """See `Source`."""
        return f"row {row + 1}"

    def _file(self) -> Any:
        import pyarrow as pa
        from pyarrow.parquet import ParquetFile

        try:
            return ParquetFile(self.path)
        except (pa.ArrowException, OSError) as error:
            raise DiffkitError(f"{self.path} cannot be read: {_plain(error)}") from None


def _plain(error: Exception) -> str:
    return " ".join(str(error).split())


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
