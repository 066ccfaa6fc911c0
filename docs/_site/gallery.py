"""Runs the commands of docs/gallery.md in a folder and copies the pictures they make: gallery.py FOLDER [SECTION ...].

A comment before a picture says what it is a copy of: `<!-- picture: runs/last/samples/grid.png -->`. Sections are
chosen by their headings.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parents[1]
PAGE = DOCS / "gallery.md"
COMMANDS = re.compile(r"^<!-- shown: [^\n]*-->\n+```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)
FILES = re.compile(r"^<!-- file: (\S+) -->\n+```\w+\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PICTURES = re.compile(r"^<!-- picture: (\S+) -->\n+!\[[^\]]*\]\((\S+)\)", re.MULTILINE)


def main(folder: str, *wanted: str) -> int:
    """Make the pictures of the sections, or of all; 1 if a command fails."""
    place = Path(folder).resolve()
    place.mkdir(parents=True, exist_ok=True)
    for section in re.split(r"^(?=## )", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE):
        heading = section.partition("\n")[0].removeprefix("## ")
        if wanted and heading not in wanted:
            continue
        for name, code in FILES.findall(section):
            (place / name).write_text(code, encoding="utf-8")
        for code in COMMANDS.findall(section):
            for line in code.splitlines():
                if line.startswith("$ ") and subprocess.run(["bash", "-c", line[2:]], cwd=place).returncode:
                    print(f"{heading}: failed: {line[2:]}", file=sys.stderr)
                    return 1
        for made, shown in PICTURES.findall(section):
            (DOCS / shown).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(place / made, DOCS / shown)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
