"""Resuming: a run goes on in its own folder, with its own choices."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from diffkit.compose.build import part
from diffkit.compose.foreign import leads_out
from diffkit.compose.formats import CHECKPOINT, refuse_newer
from diffkit.compose.recorded import require
from diffkit.core.codec import LearnedCodec
from diffkit.core.data import DataSpec
from diffkit.core.errors import DiffkitError
from diffkit.run.changes import NO_CHOICE, Change, asked, changes, refuse
from diffkit.run.checkpoint import SUFFIX, Found, newest, read
from diffkit.run.fitting import misfits, optimizer_misfits
from diffkit.run.folder import RunFolder
from diffkit.run.module import Task
from diffkit.run.others import differences
from diffkit.run.snapshots import digest

_NEEDED = (
    *(
        "data",
        "codec",
        "conditioner",
        "denoiser",
        "prediction",
        "schedule",
        "density",
        "weighting",
        "task",
        "optimizer",
    ),
    *("sampler", "grid", "guidance", "metric", "trainer", "logger", "callbacks", "name", "group", "tags", "seed"),
    *("samples", "preview_every", "compile"),
)
"""The keys that every run's config has had."""


@dataclass(frozen=True)
class Point:
    """Where a run goes on."""

    folder: RunFolder
    checkpoint: Found
    saved: dict[str, Any]
    """The run's config as it was saved."""

    def choices(self, composed: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
        """The run's own choices, with those that `overrides` name taken from the composed config.

        Raises `DiffkitError` for changes that would make it another run, unless `composed["allow_change"]` has their
        keys, and for a plugin that is missing; warns of one of another version or source.
        """
        _refuse_ways_out(self.saved, overrides, self.folder)
        made = self.saved.get("diffkit", {})
        saved = {key: value for key, value in self.saved.items() if key not in NO_CHOICE}
        wanted = asked(saved, composed, overrides)
        if self._same_codec(wanted.get("codec") or {}):
            wanted["codec"] = saved["codec"]
        refuse(self.changes(wanted), composed["allow_change"], self.folder.path)
        choices = require({**wanted, "diffkit": made}, list(wanted))
        del choices["diffkit"]
        return {**choices, "out": self.saved.get("out"), "resume": composed["resume"]}

    def changes(self, choices: Mapping[str, Any]) -> list[Change]:
        """What these choices have otherwise than the saved run's."""
        before, now = ({k: v for k, v in one.items() if k not in NO_CHOICE} for one in (self.saved, choices))
        return changes(before, now)

    def allowed(self, choices: Mapping[str, Any]) -> list[Change]:
        """The changes of these choices that were allowed by their keys."""
        return [change for change in self.changes(choices) if not change.safe]

    def _same_codec(self, node: Mapping[str, Any]) -> bool:
        """Whether a node names the codec that the run began with, whose weights are its own since."""
        made = self.saved.get("diffkit", {})
        if "codec" not in made or node.get("run") is None:
            return False
        spec = DataSpec.from_dict(made["spec"])
        codec = part("codec", node, shape=spec.shape, spec=spec)
        return isinstance(codec, LearnedCodec) and digest(codec.state_dict()) == made["codec"]


def _refuse_ways_out(saved: Mapping[str, Any], overrides: Sequence[str], folder: RunFolder) -> None:
    """Raise `DiffkitError` for an object that the file lets write elsewhere: the file may be anybody's."""
    said = {override.lstrip("+").partition("=")[0] for override in overrides}
    nodes: dict[str, Any] = {"trainer": saved.get("trainer")}
    nodes |= {f"{g}.{name}": node for g in ("logger", "callbacks") for name, node in (saved.get(g) or {}).items()}
    for key, node in nodes.items():
        for name in leads_out(node) if isinstance(node, Mapping) else ():
            if f"{key}.{name}" not in said:
                raise DiffkitError(
                    f"{folder.config} has {key}.{name}={node[name]}, which leads out of the run's folder: if that is"
                    f" meant, say it again: +{key}.{name}={node[name]}"
                )


def find(folder: RunFolder, required: bool = True) -> Point | None:
    """The run in a folder and its newest whole checkpoint; None if it has none yet, and none is required.

    Raises `DiffkitError` if there is none to go on from.
    """
    if not required and not (folder.config.is_file() and any(folder.checkpoints.glob(f"*{SUFFIX}"))):
        return None
    saved = folder.read_config()
    lacking = [key for key in _NEEDED if key not in saved]
    if lacking:
        raise DiffkitError(f"{folder.config} is not as a run wrote it: it lacks {', '.join(lacking)}; copy it again")
    return Point(folder, newest(folder.checkpoints), saved)


def fresh(composed: Mapping[str, Any]) -> dict[str, Any]:
    """The choices of a run that is not resumed; raises `DiffkitError` for changes that are allowed to none."""
    if composed["allow_change"] and not composed["resume"]:
        raise DiffkitError("allow_change is for a run that is continued: give resume=RUN beside it, or leave it out")
    return {key: value for key, value in composed.items() if key != "allow_change"}


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


def refuse_other_tensors(point: Point, task: Task) -> None:
    """Raise `DiffkitError` if the checkpoint does not have exactly the tensors of what is to be trained."""
    content = read(point.checkpoint.path, mapped=True)
    own = content.get("diffkit")
    refuse_newer(point.checkpoint.path, own.get("format") if isinstance(own, dict) else None, CHECKPOINT)
    try:
        faults = misfits(task.state_dict(), content["state_dict"])
        faults = faults or optimizer_misfits(task.configure_optimizers(), content["optimizer_states"][0])
    except (KeyError, IndexError, TypeError, AttributeError):
        raise DiffkitError(
            f"{point.checkpoint.path} is no checkpoint of a run: it lacks weights or their optimizer"
        ) from None
    if faults:
        raise DiffkitError(
            f"the checkpoint {point.checkpoint.path} does not fit the parts of the run ({faults}): a key was changed on"
            " which they depend, or a plugin has another version here than the one that made it"
        )
