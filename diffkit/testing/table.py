"""The report as text: a line for each part, with figures where it is a sampler."""

from collections.abc import Sequence

from diffkit.testing.accuracy import CALLS, FEW
from diffkit.testing.contracts.moments import brief
from diffkit.testing.report import Errors, Figures, Row

NONE = "-"
"""A cell with nothing in it."""

MEASURED = (
    "order",
    "found",
    "calls",
    *(f"gauss {n}" for n in CALLS),
    *(f"mixture {n}" for n in CALLS),
    *(f"{n} step" for n in FEW),
    "mean",
    "variance",
)
HEAD = ("part", *MEASURED, "verdict", "seconds", "why")
"""The columns of a line; docs/verify.md says what they mean."""

Table = tuple[Sequence[str], Sequence[Sequence[str]]]
"""A head and its lines."""


def cells(row: Row) -> tuple[str, ...]:
    """A row as text, a cell for each column of `HEAD`."""
    measured = _figures(row.figures) if row.figures else (NONE,) * len(MEASURED)
    return (str(row.setting), *measured, row.verdict, f"{row.seconds:.1f}", row.sentence or NONE)


def _figures(figures: Figures) -> tuple[str, ...]:
    found, moments = figures.convergence, figures.convergence.moments
    error = f"±{brief(found.error[0])}" if found.error else NONE
    return (
        str(figures.declared),
        error if found.order is None else f"{found.order:.2f}",
        NONE if figures.calls is None else str(figures.calls),
        *_errors(figures.gaussian, len(CALLS)),
        *_errors(figures.mixture, len(CALLS)),
        *_errors(figures.few, len(FEW)),
        str(moments.mean) if moments else NONE,
        str(moments.variance) if moments else NONE,
    )


def _errors(errors: Errors, n: int) -> list[str]:
    return [NONE if e is None else brief(e) for e in errors or (None,) * n]


def tables(rows: Sequence[Row]) -> list[Table]:
    """What a reader sees: the samplers with their figures, and all other parts; without empty tables."""
    samplers = [cells(row)[:-1] for row in rows if row.figures]
    others = [(c[0], *c[-3:]) for c in (cells(row) for row in rows if not row.figures)]
    measured = ("sampler", *HEAD[1:-1]), [(line[0].removeprefix("sampler="), *line[1:]) for line in samplers]
    return [table for table in (measured, (("part", *HEAD[-3:]), others)) if table[1]]


def failures(rows: Sequence[Row]) -> list[str]:
    """A sentence for each part that failed."""
    return [f"{row.setting}: {row.sentence}" for row in rows if row.verdict == "fail"]


def markdown(rows: Sequence[Row]) -> str:
    """The tables in Markdown, and the failures."""
    text = [_markdown(head, lines) for head, lines in tables(rows)]
    return "\n".join([*text, *(f"- {sentence}" for sentence in failures(rows))])


def _markdown(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    written = ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in (head, *lines)]
    return "\n".join([written[0], "|---" * len(head) + "|", *written[1:], ""])
