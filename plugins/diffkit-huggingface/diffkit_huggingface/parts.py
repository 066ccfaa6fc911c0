"""The rows for training and those for testing."""

from typing import Any

import numpy as np

Parts = tuple[Any, Any, int, int]
"""Two sets, and how many rows each has."""


def rows_of(whole: Any, tests: Any | None, share: float) -> Parts:
    """The rows for testing are `tests`, or else a share of the whole, always the same."""
    if tests is not None:
        return whole, tests, len(whole), len(tests)
    held = _held(len(whole), share)
    mixed = np.random.default_rng(0).permutation(len(whole))
    return whole.select(np.sort(mixed[held:])), whole.select(np.sort(mixed[:held])), len(whole) - held, held


def streams_of(whole: Any, tests: Any | None, split: str, test_split: str | None, share: float) -> Parts:
    """The rows for testing are `tests`, or else the first ones; they are counted where their number is not known."""
    rows = _known(whole, split)
    if tests is not None and test_split is not None:
        return whole, tests, rows, _known(tests, test_split)
    held = _held(rows, share)
    return whole.skip(held), whole.take(held), rows - held, held


def _held(rows: int, share: float) -> int:
    return min(max(1, round(share * rows)), rows)


def _known(found: Any, split: str) -> int:
    said = (found.info.splits or {}).get(split)
    if said is not None and said.num_examples:
        return int(said.num_examples)
    return sum(1 for _ in found.select_columns(found.column_names[-1:]))
