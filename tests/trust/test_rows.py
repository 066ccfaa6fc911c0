"""Every row of the table, with a few trials; `benchmarks/trust/run.py` makes them all."""

import pytest

from trust.row import Row
from trust.rows import rows


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.id)
def test_row(row: Row) -> None:
    outcome = row.run(row.small)
    assert not outcome.failures, f"{row.fault}; required: {row.required}\n" + "\n".join(outcome.failures)
    if outcome.missing and not outcome.trials:
        pytest.skip(outcome.missing)
