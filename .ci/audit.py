"""Hold requirements.lock against the known vulnerabilities: fails for each that .ci/audit.txt does not explain.

Needs `pip-audit` and its service; where the service cannot be reached it fails too, since nothing was learned then.
"""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def explained() -> list[str]:
    """The identifiers of .ci/audit.txt; each line is one, and why it does not matter here."""
    found = []
    for line in (HERE / "audit.txt").read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            name, _, why = line.strip().partition(" ")
            if not why.strip():
                raise SystemExit(f".ci/audit.txt: say why {name} does not matter here, or mend it")
            found.append(name)
    return found


def main() -> None:
    """Run pip-audit and exit as it does."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", "requirements.lock", "--require-hashes"]
    command += ["--disable-pip", "--strict", "--desc", "on", *(f"--ignore-vuln={name}" for name in explained())]
    sys.exit(subprocess.run(command, cwd=HERE.parent).returncode)


if __name__ == "__main__":
    main()
