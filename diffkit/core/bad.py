"""Rows that cannot be used, and what becomes of a run that meets them."""

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

from diffkit.core.errors import DiffkitError, RunFailed

Policy = Literal["error", "skip"]
"""A bad row ends a run, or another one stands in for it."""
LISTED = "bad_samples.jsonl"
"""The file in a run's folder: a line for each bad row, `{"file": ..., "fault": ...}`."""
TOLERATED = 0.01
"""The share of all rows that may be bad where they are skipped."""


class BadSample(DiffkitError):
    """A row that cannot be used: `place` says which (a file, a byte in it), and `fault` what is wrong with it."""

    def __init__(self, place: str, fault: str) -> None:
        super().__init__(place, fault)
        self.place, self.fault = place, fault

    def __str__(self) -> str:
        return f"{self.place}: {self.fault}"


class BadSamples:
    """The bad rows that were found so far among `total`, each counted once, also over a run that is resumed."""

    def __init__(self, policy: Policy, total: int) -> None:
        self.policy, self.total = policy, total
        self.known: dict[str, str] = {}
        """The fault at each place."""
        self._listed: set[str] = set()
        self._folder: Path | None = None

    def note(self, found: Sequence[BadSample], folder: Path | None) -> None:
        """Take in what was found, list it in the run's folder, where there is one already, and refuse what is too much.

        Raises `DiffkitError` for the first where bad rows are errors, and above the share that is tolerated.
        """
        if found and self.policy == "error":
            raise DiffkitError(
                f"{found[0]}; mend or remove it, or go on without it with data.on_bad=skip (diffkit check finds all)"
            )
        self.known.update({bad.place: bad.fault for bad in found})
        if folder is not None and (found or folder != self._folder):
            self.list(folder)
        self.refuse()

    def refuse(self) -> None:
        """Raise `DiffkitError` if there are more than the policy allows."""
        allowed = 0.0 if self.policy == "error" else TOLERATED
        if len(self.known) > allowed * self.total:
            place, fault = next(iter(self.known.items()))
            share = f"the {TOLERATED:.0%} that data.on_bad=skip allows"
            more = "" if self.policy == "error" else f", which is more than {share}"
            listed = "" if self._folder is None else f"; all are listed in {self._folder / LISTED}"
            few = self.policy == "error" and len(self.known) <= TOLERATED * self.total
            raise DiffkitError(
                f"{len(self.known)} of the {self.total} rows of the data are bad{more}: {place}: {fault}{listed};"
                f" mend or remove them{', or go on without them with data.on_bad=skip' if few else ''}"
            )

    def summary(self) -> str:
        """One sentence on how many there were; empty for none."""
        listed = "" if self._folder is None else f": see {self._folder / LISTED}"
        said = f"{len(self.known)} of the {self.total} rows of the data are bad, and others stood in for them{listed}"
        return said if self.known else ""

    def list(self, folder: Path) -> None:
        """Write those that are not there yet into the folder's list, and know those that are there from before."""
        path, self._folder = folder / LISTED, folder
        if path.is_file() and not self._listed:
            before = _read(path)
            self._listed = set(before)
            self.known = {**before, **self.known}
        new = {place: fault for place, fault in self.known.items() if place not in self._listed}
        if new:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                with path.open("a", encoding="utf-8") as file:
                    file.writelines(json.dumps({"file": place, "fault": fault}) + "\n" for place, fault in new.items())
            except OSError as error:
                raise RunFailed(f"cannot write {path}: {error.strerror or error}") from error
            self._listed |= set(new)


def _read(path: Path) -> dict[str, str]:
    """The fault at each place that a file lists; those that are damaged, as a kill leaves the last, are taken out."""
    lines, found = path.read_bytes().splitlines(keepends=True), dict[str, str]()
    whole = []
    for line in lines:
        with suppress(ValueError, KeyError, TypeError, RecursionError):
            entry = json.loads(line)
            if line.endswith(b"\n"):
                found[str(entry["file"])] = str(entry["fault"])
                whole.append(line)
    if len(whole) < len(lines):
        path.write_bytes(b"".join(whole))
    return found
