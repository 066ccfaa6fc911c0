"""Faults, bad input and attacks: diffkit's column beside the bare stack's.

python benchmarks/trust/run.py                 every row, all of its trials, about an hour on two cores
python benchmarks/trust/run.py R1 C2 --small   some rows, with the few trials that the tests make

Each row's outcome is written to `benchmarks/results/trust.json` when it ends, and the table, of all that is there, is
printed and written to `benchmarks/results/trust.md`. Some rows need root for a full or read-only disk (tmpfs).
"""

import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from subprocess import run as call
from tempfile import gettempdir
from typing import Any

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
sys.path.insert(0, str(ROOT / "tests"))

from filelock import FileLock  # noqa: E402
from trust.row import Outcome, Row  # noqa: E402
from trust.rows import by_id, rows  # noqa: E402


def main() -> None:
    """Run the rows that are named, or all."""
    parser = ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("ids", nargs="*", metavar="ROW")
    parser.add_argument("--small", action="store_true", help="the tests' number of trials; nothing is written")
    given = parser.parse_args()
    failed = False
    for row in [by_id(id) for id in given.ids] or rows():
        outcome = row.run(row.small if given.small else row.full)
        failed = failed or bool(outcome.failures)
        print(f"{row.id}: {column(outcome)}", file=sys.stderr, flush=True)
        for failure in outcome.failures[:5]:
            print(f"  {failure[:600]}", file=sys.stderr)
        if not given.small:
            record(row, outcome)
    print(table(load()))
    sys.exit(1 if failed else 0)


def column(outcome: Outcome) -> str:
    """What became of the trials, in the table's words."""
    if not outcome.trials:
        return f"not tried: {outcome.missing}"
    figures = "".join(f"; {name} {value:.3g}" for name, value in outcome.figures.items())
    lack = f"; in part: {outcome.missing}" if outcome.missing else ""
    return f"{len(outcome.failures)}/{outcome.trials} failed{figures}{lack} ({outcome.seconds:.0f} s)"


def load() -> dict[str, dict[str, Any]]:
    """What is known of each row so far."""
    file = RESULTS / "trust.json"
    known: dict[str, dict[str, Any]] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return known


def record(row: Row, outcome: Outcome) -> None:
    """Keep a row's outcome, with the commit that it is of, and write the table anew."""
    git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    commit = call(git, capture_output=True, text=True).stdout.strip()
    new = {row.id: {"outcome": column(outcome), "commit": commit, "failures": outcome.failures[:5]}}
    with FileLock(Path(gettempdir()) / "diffkit-trust.lock"):  # two commands may share the rows
        known = load() | new
        (RESULTS / "trust.json").write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        (RESULTS / "trust.md").write_text(table(known) + "\n", encoding="utf-8")


def table(known: dict[str, dict[str, Any]]) -> str:
    """The table as Markdown."""
    lines = ["| id | fault | required | bare stack | diffkit |", "|---|---|---|---|---|"]
    for row in rows():
        if row.id in known:
            lines.append(f"| {row.id} | {row.fault} | {row.required} | {row.bare} | {known[row.id]['outcome']} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
