"""What a resumed run is asked to do otherwise than it was saved: what may change, and what is refused."""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from lightning import Callback, LightningModule, Trainer

from diffkit.compose.registry import registry
from diffkit.compose.values import hyperparameters
from diffkit.core.errors import DiffkitError

NO_CHOICE = ("diffkit", "resume", "out", "allow_change")
"""Keys of a config, saved or composed, that are no choices of the run."""
SAFE = (
    *("name", "group", "tags", "logger", "compile"),
    *("sampler", "grid", "guidance", "metric", "samples", "preview_every", "timeout", "patience"),
    # how long, on what, and what is measured beside
    *(f"trainer.{key}" for key in ("max_steps", "max_epochs", "max_time", "min_steps", "min_epochs")),
    *(f"trainer.{key}" for key in ("accelerator", "devices", "num_nodes", "strategy", "deterministic", "benchmark")),
    *(f"trainer.{key}" for key in ("val_check_interval", "check_val_every_n_epoch", "num_sanity_val_steps")),
    *(f"trainer.{key}" for key in ("limit_val_batches", "enable_progress_bar", "enable_model_summary", "profiler")),
    *(f"trainer.{key}" for key in ("enable_checkpointing", "log_every_n_steps", "detect_anomaly")),
    # where the data are, of which the digest is compared, and how they are read
    *(f"data.{key}" for key in ("folder", "file", "path", "shards", "test_shards", "workers", "keep", "on_bad")),
)
"""Keys, with all below them, that do not change what is learned (but the learning rate of a longer run falls later)."""
_OURS = "diffkit.run.callbacks."
_SHOWN = 8
_NEVER = {"optimizer": "its state is of the other class", "conditioner": "its parts are saved in their order"}
"""Changes as a whole that no checkpoint fits, though its tensors might."""


@dataclass(frozen=True)
class Change:
    """A key whose value is not the saved one."""

    key: str
    saved: Any
    asked: Any

    def __str__(self) -> str:
        return f"{self.key}: {_shown(self.saved)} -> {_shown(self.asked)}"

    @property
    def safe(self) -> bool:
        """Whether the run learns the same; callbacks of others may do anything."""
        if self.key.partition(".")[0] == "callbacks":
            nodes = [node for node in (self.saved, self.asked) if isinstance(node, Mapping)]
            return all(str(node.get("_target_")).startswith(_OURS) for node in nodes)
        return _within(self.key, SAFE)


def asked(saved: Mapping[str, Any], composed: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """The saved choices, with those that `overrides` (as they were typed) name taken from the composed config.

    A preset names all keys. What a run found out by itself is kept where nothing else is asked for: its precision, and
    its name.
    """
    choices = deepcopy(dict(saved))
    for key in map(_key, overrides):
        keys = [key] if key.partition(".")[0] in composed else list(composed)
        for path in keys:
            if path.partition(".")[0] not in NO_CHOICE:
                _copy(composed, choices, path.split("."))
    trainer = choices.get("trainer")
    if isinstance(trainer, dict) and trainer.get("precision") == "auto":
        trainer["precision"] = saved["trainer"].get("precision", "auto")
    choices["name"] = choices.get("name") or saved.get("name")
    return choices


def changes(saved: Mapping[str, Any], asked: Mapping[str, Any]) -> list[Change]:
    """Every key that differs, by the order of the saved ones; a part of another name is one change."""
    return [change for key in [*saved, *(k for k in asked if k not in saved)] for change in _group(key, saved, asked)]


def refuse(found: Sequence[Change], allowed: Sequence[str], run: object) -> None:
    """Raise `DiffkitError` with the changes that are neither safe nor allowed by their keys, or by one above them."""
    wrong = [change for change in found if not change.safe and not _within(change.key, allowed)]
    if wrong:
        listed = "; ".join(map(str, wrong[:_SHOWN]))
        more = f"; and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise DiffkitError(
            f"the run {run} was trained with other choices (saved -> asked): {listed}{more}; leave them out, start a"
            f" new run, or allow a change by its key: --allow-change {wrong[0].key}"
        )
    for change in found:
        group, _, key = change.key.partition(".")
        flag = isinstance(change.asked, bool) or not isinstance(change.asked, int | float | list)
        if change.key in _NEVER or (group == "optimizer" and key and flag):
            why = _NEVER.get(change.key, "its state is of the other kind")
            raise DiffkitError(f"{change} cannot be allowed, since {why}: start a new run")


class Changed(Callback):
    """Gives a resumed optimizer the values that were changed: its state brings the saved ones."""

    def __init__(self, found: Sequence[Change]) -> None:
        pairs = [(change.key.partition("."), change.asked) for change in found]
        self.values = {key: value for (group, _, key), value in pairs if group == "optimizer"}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """See `Callback`."""
        for optimizer in trainer.optimizers:
            for group in optimizer.param_groups:
                group.update(self.values)


def _group(key: str, saved: Mapping[str, Any], asked: Mapping[str, Any]) -> Iterator[Change]:
    before, now = saved.get(key), asked.get(key)
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        kind = registry().kinds.get(key)
        if kind and kind.many and before.keys() == now.keys() and list(before) != list(now):
            yield Change(key, list(before), list(now))
        yield from _nodes(key, before, now)
    elif before != now:
        yield Change(key, before, now)


def _nodes(place: str, saved: Mapping[str, Any], asked: Mapping[str, Any]) -> Iterator[Change]:
    """The changes within a node; with another part or class in its place all else belongs to that."""
    if saved.get("_target_") != asked.get("_target_") or not _same_part(saved.get("_part_"), asked.get("_part_")):
        yield Change(place, saved, asked)
        return
    if place.startswith("callbacks.") and saved != asked:
        yield Change(place, saved, asked)
        return
    for key in [*saved, *(k for k in asked if k not in saved)]:
        before, now = saved.get(key), asked.get(key)
        if isinstance(before, Mapping) and isinstance(now, Mapping):
            yield from _nodes(f"{place}.{key}", before, now)
        elif key != "_part_" and before != now and not (key not in saved and now == _default(place, saved, key)):
            yield Change(f"{place}.{key}", before, now)


def _same_part(one: object, other: object) -> bool:
    """Whether two names are of one part; a plugin's stands before the name where that is another's too."""
    if isinstance(one, str) and isinstance(other, str) and ("/" in one) != ("/" in other):
        return one.rpartition("/")[2] == other.rpartition("/")[2]
    return one == other


def _default(place: str, node: Mapping[str, Any], key: str) -> Any:
    """What a key that an older version did not have stands for where it is left out."""
    kind = place.partition(".")[0]
    if kind not in registry().kinds or "_part_" not in node:
        return None
    known = hyperparameters(registry().load(kind, node["_part_"]))
    default = known[key].default if key in known else None
    return list(default) if isinstance(default, tuple) else default


def _key(override: str) -> str:
    """The place in the config that an override names: `group@place=option`, `group=option`, `key=value`, `~key`."""
    name = override.lstrip("+~").partition("=")[0]
    return name.rpartition("@")[2].replace("/", ".").lstrip(".")


def _copy(source: Mapping[str, Any], target: dict[str, Any], keys: list[str]) -> None:
    """Copy what stands at a path of keys; what is not there in the source is taken away."""
    first, *rest = keys
    if first not in source:
        target.pop(first, None)
    elif rest and isinstance(source[first], Mapping) and isinstance(target.get(first), dict):
        _copy(source[first], target[first], rest)
    else:
        target[first] = deepcopy(source[first])


def _within(key: str, those: Sequence[str]) -> bool:
    return any(key == other or key.startswith(f"{other}.") for other in those)


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return str(value.get("_part_") or value.get("_target_") or "{...}")
    return "(none)" if value is None else str(value)[:60]
