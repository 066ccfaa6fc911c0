"""Faults, bad input and attacks: diffkit's column beside the bare stack's.

python benchmarks/trust/run.py                 every row, all of its trials, about an hour on two cores
python benchmarks/trust/run.py R1 C2 --small   some rows, with the few trials that the tests make
python benchmarks/trust/run.py --table         the table of what was recorded

Each row's outcome is written to `benchmarks/results/trust.json` when it ends, and the table, of all that is there, is
printed and put into `docs/trust.md`. Some rows need root for a full or read-only disk (tmpfs).
"""

import json
import re
import sys
from argparse import ArgumentParser
from pathlib import Path
from subprocess import run as call
from tempfile import gettempdir
from typing import Any

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "trust.json"
PAGE = ROOT / "docs" / "trust.md"
SECTION = re.compile(r"(?<=<!-- table -->\n).*(?=<!-- /table -->)", re.DOTALL)
sys.path.insert(0, str(ROOT / "tests"))

from filelock import FileLock  # noqa: E402
from trust.row import Outcome, Row  # noqa: E402
from trust.rows import by_id, rows  # noqa: E402


def main() -> None:
    """Run the rows that are named, or all."""
    parser = ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("ids", nargs="*", metavar="ROW")
    parser.add_argument("--table", action="store_true", help="run nothing")
    parser.add_argument("--small", action="store_true", help="the tests' number of trials; nothing is written")
    given = parser.parse_args()
    failed = False
    for row in [] if given.table else [by_id(id) for id in given.ids] or rows():
        outcome = row.run(row.small if given.small else row.full)
        failed = failed or bool(outcome.failures)
        print(f"{row.id}: {column(outcome)}", file=sys.stderr, flush=True)
        for failure in outcome.failures[:5]:
            print(f"  {failure[:600]}", file=sys.stderr)
        if not given.small:
            record(row, outcome)
    if given.table:
        publish(load())
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
    known: dict[str, dict[str, Any]] = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    return known


def record(row: Row, outcome: Outcome) -> None:
    """Keep a row's outcome, with the commit that it is of, and write the table anew."""
    git = ["git", "-C", str(ROOT)]
    commit = call([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    changed = call([*git, "diff", "--quiet", "HEAD", "--", "diffkit", "conf", "plugins", "tests"]).returncode
    state = f"{commit} and changes" if changed else commit
    new = {row.id: {"outcome": column(outcome), "commit": state, "failures": outcome.failures[:5]}}
    with FileLock(Path(gettempdir()) / "diffkit-trust.lock"):  # two commands may share the rows
        known = load() | new
        RESULTS.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        publish(known)


def publish(known: dict[str, dict[str, Any]]) -> None:
    """Put the table into the page."""
    text = f"\n{table(known)}\n\n"
    PAGE.write_text(SECTION.sub(lambda _: text, PAGE.read_text(encoding="utf-8")), encoding="utf-8")


def table(known: dict[str, dict[str, Any]]) -> str:
    """The table as Markdown."""
    lines = ["| id | fault | required | bare stack | diffkit |", "|---|---|---|---|---|"]
    for row in rows():
        outcome = known.get(row.id, {}).get("outcome", "not tried in full")
        cells = [row.id, row.fault, row.required, row.bare, outcome]
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
