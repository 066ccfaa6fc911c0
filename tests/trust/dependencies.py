"""What is installed is what was tested: each file of it has a digest that is known."""

import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.version import Version

from trust.mutation import mutation
from trust.row import Missing, Trial, expect, row

ROOT = Path(__file__).parents[2]
_PIN = re.compile(r"([a-z0-9-]+)==(\S+)( \\)?")
_HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?")


def _constraints() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def _lock() -> str:
    return (ROOT / "requirements.lock").read_text()


def _locked() -> dict[str, tuple[str, int]]:
    """Version and number of digests of each package; raises `Fault` for a line that pip would not hold to one."""
    found: dict[str, tuple[str, int]] = {}
    name = ""
    for line in _lock().splitlines():
        pin, digest = _PIN.fullmatch(line), _HASH.fullmatch(line)
        if pin:
            name = pin[1]
            found[name] = pin[2], 0
        elif digest:
            found[name] = found[name][0], found[name][1] + 1
        else:
            expect(not line or line.startswith("#"), f"a line of another kind: {line}")
    return found


@row(
    "S10",
    fault="a dependency that is not the one that was tested",
    required="a lock with the digests of all files, equal to what is installed; make audit explains each finding",
    bare="not measured",
    full=1,
    small=1,
)
def locked(trial: Trial) -> None:
    wanted, found = _constraints(), _locked()
    for name, number in wanted.items():
        expect(name in found, f"{name} is not locked")
        expect(found[name][0] == number, f"{name} is locked as {found[name][0]}, not {number}: run .ci/lock.py")
        expect(found[name][1] >= 1, f"{name} has no digest")
    expect(found.keys() == wanted.keys(), f"locked, but not of the tested set: {found.keys() - wanted.keys()}")
    others = []
    for name, number in wanted.items():
        try:
            installed = Version(version(name)).public
        except PackageNotFoundError:
            raise Missing(f"needs the tested set: {name} is not installed") from None
        if installed != number:
            others.append(f"{name} {installed}")
    expect(not others, f"installed otherwise: {others}")
    for line in (ROOT / ".ci/audit.txt").read_text().splitlines():
        expect(line.startswith("#") or len(line.split()) > 1, f"a finding without an explanation: {line}")


@mutation("versions without digests", "S10", said="has no digest")
def unhashed(patch):  # type: ignore[no-untyped-def]
    import sys

    text = re.sub(r" \\\n.*--hash=.*", "", _lock())
    patch.setattr(sys.modules[__name__], "_lock", lambda: text)
