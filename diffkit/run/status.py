"""What became of a run: `status.json` in its folder."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from diffkit.compose.formats import refuse_newer
from diffkit.compose.secrets import masked
from diffkit.core.errors import DiffkitError
from diffkit.run.folder import write_text

FILE = "status.json"
FORMAT = 1


@dataclass(frozen=True)
class Status:
    """Where a run is; one that was killed is left as running, with nobody holding its folder."""

    state: Literal["running", "finished", "stopped", "failed"]
    status: int | None = None
    """The exit status, once it has ended."""
    step: int | None = None
    """The updates it has made."""
    error: str | None = None

    def write(self, folder: Path) -> None:
        """Write it into a run's folder; raises `DiffkitError` if that cannot be done."""
        said = {**asdict(self), "error": self.error and masked(self.error)}
        write_text(folder / FILE, json.dumps({"format": FORMAT, **said}) + "\n")


def read(folder: Path) -> Status | None:
    """What the folder says of its run; None if it does not say.

    Raises `DiffkitError` for a file that is damaged, or of a newer diffkit.
    """
    path = folder / FILE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        found = Status(values["state"], values["status"], values["step"], values["error"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DiffkitError(f"{path} is damaged ({type(error).__name__}): remove it, then resume the run") from error
    refuse_newer(path, values.get("format"), FORMAT)
    return found
