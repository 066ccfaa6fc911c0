"""Resuming: a run goes on in its own folder, with its own choices."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from diffkit.compose.recorded import require
from diffkit.core.data import DataSpec
from diffkit.core.errors import DiffkitError
from diffkit.run.checkpoint import SUFFIX, Found, newest
from diffkit.run.folder import RunFolder
from diffkit.run.others import differences

_MAY_CHANGE = (
    "trainer",
    "logger",
    "callbacks",
    "metric",
    "sampler",
    "grid",
    "guidance",
    "preview_every",
    "samples",
    "tags",
    "group",
    "compile",
)
"""What does not change what the run learns (except that a longer run's learning rate falls later)."""


@dataclass(frozen=True)
class Point:
    """Where a run goes on."""

    folder: RunFolder
    checkpoint: Found
    saved: dict[str, Any]
    """The run's config as it was saved."""

    def choices(self, composed: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
        """The run's own choices, with those that `overrides` name taken from the composed config.

        Raises `DiffkitError` for an override that would make it another run, and for a plugin that is missing; warns
        of one of another version or source.
        """
        names = [override.lstrip("+~").partition("=")[0].partition("@")[0] for override in overrides]
        wrong = [name for name in names if name.partition(".")[0] not in (*_MAY_CHANGE, "resume", "out")]
        if wrong:
            raise DiffkitError(
                f"{', '.join(wrong)}: a resumed run keeps its own choices; leave that out, or start a new run."
                f" These may change: {', '.join(_MAY_CHANGE)}"
            )
        chosen = {name.partition(".")[0] for name in names}
        saved = require(self.saved, [kind for kind in self.saved if kind not in chosen])
        choices = {name: value for name, value in saved.items() if name != "diffkit"}
        for name in names:
            if name not in ("resume", "out"):
                _copy(composed, choices, name.replace("/", ".").split("."))
        return {**choices, "resume": composed["resume"]}


def find(folder: RunFolder, required: bool = True) -> Point | None:
    """The run in a folder and its newest whole checkpoint; None if it has none yet, and none is required.

    Raises `DiffkitError` if there is none to go on from.
    """
    if not required and not (folder.config.is_file() and any(folder.checkpoints.glob(f"*{SUFFIX}"))):
        return None
    return Point(folder, newest(folder.checkpoints), folder.read_config())


def refuse_other_data(point: Point, made: Mapping[str, Any]) -> None:
    """Raise `DiffkitError` if the data are not those that the run was trained on; `made` is their provenance."""
    before = point.saved.get("diffkit", {})
    others = differences({**DataSpec(()).to_dict(), **before.get("spec", {})}, made["spec"])
    if others:
        raise DiffkitError(
            f"the data are not what the run {point.folder.path} was trained on: {'; '.join(others)}; restore them, or"
            " start a new run"
        )
    if before.get("data") != made["data"]:
        raise DiffkitError(
            f"the data are not those that the run {point.folder.path} was trained on (its fingerprint is"
            " another): restore them, or start a new run"
        )


def _copy(source: Mapping[str, Any], target: dict[str, Any], keys: list[str]) -> None:
    """Copy what stands at a path of keys; what is not there in the source is taken away."""
    first, *rest = keys
    if first not in source:
        target.pop(first, None)
    elif rest and isinstance(source[first], Mapping) and isinstance(target.get(first), dict):
        _copy(source[first], target[first], rest)
    else:
        target[first] = deepcopy(source[first])
