"""All rows, in the table's order: importing this fills it."""

from importlib import import_module
from pathlib import Path

from trust.mutation import MUTATIONS, Mutation
from trust.row import ROWS, Row

__all__ = ["by_id", "mutations", "rows"]

for _file in sorted(Path(__file__).parent.glob("*.py")):
    if not _file.name.startswith(("test_", "_")):
        import_module(f"trust.{_file.stem}")

_ORDER = "RXCSPODW"


def rows() -> list[Row]:
    """Every row, R1 to W4."""
    return sorted(ROWS.values(), key=lambda row: (_ORDER.index(row.id[0]), int(row.id[1:])))


def by_id(id: str) -> Row:
    """The row of an id."""
    return ROWS[id]


def mutations() -> list[Mutation]:
    """Every mutation, by the first row that it must break."""
    order = [row.id for row in rows()]
    return sorted(MUTATIONS, key=lambda mutation: (order.index(mutation.rows[0]), mutation.what))
