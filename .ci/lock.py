"""Write requirements.lock: each version of constraints.txt with the sha256 of every file that its index has of it.

`python .ci/lock.py [WHEEL ...]` needs `uv` (pip install uv). Wheels from elsewhere, such as a torch for the CPU alone,
are given by their paths: their digests are added to those of the index.
"""

import subprocess
import sys
from hashlib import sha256
from pathlib import Path

from packaging.utils import parse_wheel_filename

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements.lock"
HEADER = """\
# The tested set with the digests of its files; pip installs nothing else from it:
#   pip install --require-hashes --no-deps -r requirements.lock && pip install --no-deps --no-build-isolation -e .
# Made by `python .ci/lock.py WHEEL` from constraints.txt; WHEEL is the torch that it was tested with.
"""


def main() -> None:
    """Write the file."""
    command = "uv pip compile --quiet --generate-hashes --no-deps --no-annotate --no-header constraints.txt"
    compiled = subprocess.run(command.split(), cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    for wheel in map(Path, sys.argv[1:]):
        name, version, *_ = parse_wheel_filename(wheel.name)
        head = f"{name}=={version.public} \\\n"
        if head not in compiled:
            raise SystemExit(f"{wheel.name} is not of the tested set: {head.strip()} is not in constraints.txt")
        digest = sha256(wheel.read_bytes()).hexdigest()
        compiled = compiled.replace(head, f"{head}    --hash=sha256:{digest} \\\n")
    LOCK.write_text(HEADER + compiled, encoding="utf-8")


if __name__ == "__main__":
    main()
