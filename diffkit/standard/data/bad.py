"""What becomes of rows that cannot be used: they end the run, or are counted and listed."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from diffkit.core.data import BadSample
from diffkit.core.errors import DiffkitError

Policy = Literal["error", "skip"]
LISTED = "bad_samples.jsonl"
"""The file in a run's folder: a line for each bad row, `{"file": ..., "fault": ...}`."""
TOLERATED = 0.01
"""The share of all rows that may be bad where they are skipped."""


class BadSamples:
    """The bad rows that were found so far among `total`, each counted once, also over a resumed run."""

    def __init__(self, policy: Policy, total: int) -> None:
        self.policy, self.total = policy, total
        self.known: dict[str, str] = {}
        """The fault at each place."""
        self._listed: set[str] = set()
        self._folder: Path | None = None

    def note(self, found: Sequence[BadSample], folder: Path | None) -> None:
        """Take in what was found, and list it in the run's folder, where there is one already.

        Raises `DiffkitError` for the first where bad rows are errors, and above the share that is tolerated.
        """
        if found and self.policy == "error":
            advice = "mend or remove it, or go on without bad rows with data.on_bad=skip"
            raise DiffkitError(f"{found[0]}; {advice} (diffkit check finds all of them)")
        self.known.update({bad.place: bad.fault for bad in found})
        if folder is not None and (found or folder != self._folder):
            self._list(folder)
        if len(self.known) > TOLERATED * self.total:
            place, fault = next(iter(self.known.items()))
            listed = "" if folder is None else f", all listed in {folder / LISTED}"
            raise DiffkitError(
                f"{len(self.known)} of the {self.total} rows of the data are bad, which is more than the"
                f" {TOLERATED:.0%} that data.on_bad=skip allows: {place}: {fault}{listed}; mend or remove them"
            )

    def summary(self) -> str:
        """One sentence on how many there were; empty for none."""
        count = len(self.known)
        listed = "" if self._folder is None else f": see {self._folder / LISTED}"
        return f"{count} of the {self.total} rows of the data are bad, and others stood in for them{listed}" * (
            count > 0
        )

    def _list(self, folder: Path) -> None:
        path, self._folder = folder / LISTED, folder
        if path.is_file() and not self._listed:
            before = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
            self._listed = {entry["file"] for entry in before}
            self.known = {**{entry["file"]: entry["fault"] for entry in before}, **self.known}
        new = {place: fault for place, fault in self.known.items() if place not in self._listed}
        if new:
            with path.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps({"file": place, "fault": fault}) + "\n" for place, fault in new.items())
            self._listed |= set(new)
