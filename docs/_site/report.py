"""Writes the figures and the pictures of docs/verify.md: python docs/_site/report.py."""

import os
import re
import sys
from pathlib import Path

import torch

from diffkit.testing.figures import draw
from diffkit.testing.report import chosen, verify
from diffkit.testing.table import failures, markdown

DOCS = Path(__file__).parents[1]
PAGE = DOCS / "verify.md"
SECTION = re.compile(r"(?<=<!-- report -->\n).*(?=<!-- /report -->)", re.DOTALL)


def main() -> int:
    """Verify the standard parts, whatever plugins are installed, and put the tables into the page; 1 if one fails."""
    os.environ["DIFFKIT_PLUGINS"] = ""
    torch.set_num_threads(1)
    rows = []
    for row in verify(chosen([])):
        rows.append(row)
        print(f"{row.setting}: {row.verdict}", file=sys.stderr)
    seconds = sum(row.seconds for row in rows)
    text = f"\n{markdown(rows)}\nOn one thread it took {seconds:.0f} s; torch {torch.__version__}.\n\n"
    PAGE.write_text(SECTION.sub(lambda _: text, PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    draw(rows, DOCS / "pictures")
    return 1 if failures(rows) else 0


if __name__ == "__main__":
    sys.exit(main())
