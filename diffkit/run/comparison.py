"""What a comparison shows: a table, on the terminal and in files, and a plot of quality against cost."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from math import isfinite
from pathlib import Path
from typing import Any

from PIL import Image
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from diffkit.run.folder import write_text
from diffkit.run.front import Axis, Curve, draw, front
from diffkit.run.ledger import Record
from diffkit.run.logging import record
from diffkit.run.records import Pictures, Table as Cells

GRID = "grid"
"""Points that differ in keys of this group alone are joined by a line."""


@dataclass(frozen=True)
class Line:
    """One point of a comparison."""

    choice: Mapping[str, str]
    record: Record | None
    error: str | None = None


def show(
    lines: Sequence[Line], better: Mapping[str, bool | None], asked: Mapping[str, Any], run: Path, out: Path
) -> None:
    """Print the table, write it as Markdown and CSV beside the plot, and give both to the loggers.

    `better` says of each figure whether higher is better, lower, or neither (None).
    """
    head, rows = _cells(lines, better)
    title = f"{len(lines)} points of {run}"
    Console().print(_terminal(head, rows, title))
    write_text(out / "compare.md", _markdown(head, rows, title))
    write_text(out / "compare.csv", _csv(lines, list(better)))
    files, contents = ["compare.md", "compare.csv"], dict[str, Cells | Pictures]({"compare": Cells(head, rows)})
    if any(line.record for line in lines):
        curves, axis = _curves(lines)
        draw(curves, axis, better, _real(lines), out / "compare.png")
        with Image.open(out / "compare.png") as picture:
            contents["quality"] = Pictures([picture.convert("RGB")], [title])
        files.append("compare.png")
    record(asked.get("logger") or {}, out, "compare", dict(asked), contents)
    for name in files:
        print(out / name)


def _cells(lines: Sequence[Line], better: Mapping[str, bool | None]) -> tuple[list[str], list[list[str]]]:
    """The table as text: a star where no other point is as good for as few rows."""
    keys = list(dict.fromkeys(key for line in lines for key in line.choice))
    fronts = {name: _front(lines, name, high) for name, high in better.items()}
    failed = any(line.error for line in lines)
    head = [*keys, "calls", "rows", "seconds", *better, *(["error"] if failed else [])]
    rows = []
    for i, line in enumerate(lines):
        found = [""] * (3 + len(better))
        if line.record:
            found = [f"{line.record.calls:.4g}", f"{line.record.rows:.4g}", f"{line.record.seconds:.2f}"]
            scores = line.record.scores
            found += [f"{scores[name]['value']:.4f}{' *' if i in fronts[name] else ''}" for name in better]
        rows.append([line.choice.get(key, "") for key in keys] + found + ([line.error or ""] if failed else []))
    return head, rows


def _front(lines: Sequence[Line], name: str, higher: bool | None) -> set[int]:
    known = {i: line.record for i, line in enumerate(lines) if line.record}
    places = list(known)
    best = front([(r.rows, r.scores[name]["value"]) for r in known.values()], higher)
    return {places[i] for i in best}


def _real(lines: Sequence[Line]) -> dict[str, tuple[float, float]]:
    """What real rows get by metric, with its deviation."""
    scores = next(line.record.scores for line in lines if line.record)
    return {name: (score["real"], score["real_sd"]) for name, score in scores.items()}


def _curves(lines: Sequence[Line]) -> tuple[list[Curve], Axis]:
    """The points that share all but the grid, against their cost; or all, against the one number that differs."""
    done = [(line.choice, line.record) for line in lines if line.record]
    keys = list(dict.fromkeys(key for choice, _ in done for key in choice))
    numbers = [_number(value) for choice, _ in done for value in choice.values()]
    alone = len(keys) == 1 and len({made.rows for _, made in done}) == 1 and None not in numbers
    found: dict[str, list[tuple[float, dict[str, float]]]] = {}
    for choice, made in done:
        rest = {k: value for k, value in choice.items() if not alone and k.partition(".")[0] != GRID}
        name = " ".join(value if k == "sampler" else f"{k}={value}" for k, value in rest.items())
        x = float(choice[keys[0]]) if alone else made.rows
        found.setdefault(name, []).append((x, {metric: score["value"] for metric, score in made.scores.items()}))
    label = keys[0] if alone else "network rows for a sample (a guided call has two)"
    return [Curve(n, sorted(found[n], key=lambda point: point[0])) for n in found], Axis(label, not alone)


def _number(value: str) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None


def _terminal(head: Sequence[str], rows: Sequence[Sequence[str]], title: str) -> Table:
    table = Table(title=title, title_justify="left", caption=_CAPTION, caption_justify="left")
    for name in head:
        numbers = name in ("calls", "rows", "seconds")
        table.add_column(name, justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    return table


_CAPTION = (
    "calls: passes of the network for a batch; rows: rows in them for a sample (a guided pass has two);"
    " seconds: for all samples; *: no other point is as good for as few rows"
)


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]], title: str) -> str:
    cells = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return f"{title}\n\n" + "\n".join(f"| {' | '.join(row)} |" for row in cells) + f"\n\n{_CAPTION}\n"


def _csv(lines: Sequence[Line], metrics: Sequence[str]) -> str:
    keys = list(dict.fromkeys(key for line in lines for key in line.choice))
    parts = ("value", "real", "real_sd")
    text = StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow([*keys, "calls", "rows", "seconds", *(f"{m}/{p}" for m in metrics for p in parts), "error"])
    for line in lines:
        numbers: list[float | str] = [""] * (3 + len(parts) * len(metrics))
        if line.record:
            r = line.record
            numbers = [r.calls, r.rows, r.seconds, *(r.scores[m][p] for m in metrics for p in parts)]
        shown = ["" if isinstance(a, float) and not isfinite(a) else a for a in numbers]
        writer.writerow([*(line.choice.get(key, "") for key in keys), *shown, line.error or ""])
    return text.getvalue()
