"""Snapshots of averaged weights, kept while a run trains, of which an average of any length is made afterwards."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load as load_tensors, save as save_tensors
from torch import Tensor, nn

from diffkit.compose.formats import refuse_newer
from diffkit.core.errors import DiffkitError, RunFailed
from diffkit.run.power import LONGEST, mixture

FOLDER = "snapshots"
LENGTHS = (0.05, 0.10)
"""The lengths (sigma_rel) of the averages that are tracked."""
FAR = 0.1
"""How far, as a share of the weighting asked for, the nearest mixture may be from it."""
_SUFFIX = ".safetensors"
_KEY = "diffkit"
_FORMAT = "power averages 1"

Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class Snapshots:
    """The snapshots in a run's folder: a safetensors file for each moment.

    A file holds every weight that learns once for each average, as `<length>/<name>`; its metadata have, as JSON, the
    `format`, the `update`, the `lengths`, and the digest of the tensors.
    """

    folder: Path

    def write(self, update: int, averages: Mapping[float, Weights]) -> None:
        """Keep the averages by length after an update; a crash leaves the whole file or none.

        Raises `RunFailed` if it cannot be written.
        """
        tensors = {f"{length:g}/{name}": a.detach().cpu() for length, w in averages.items() for name, a in w.items()}
        made = {"format": _FORMAT, "update": update, "lengths": list(averages), "sha256": digest(tensors)}
        path = self._path(update)
        temporary = path.with_name(f".{path.name}-{os.getpid()}")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                file.write(save_tensors(tensors, {_KEY: json.dumps(made)}))
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise RunFailed(f"cannot write the snapshot {path}: {error.strerror or error}") from error

    def keep(self, last: int, every: int) -> None:
        """Remove those that a run which goes on after update `last` will write again, or would not have written."""
        for update in self.updates():
            if update > last or update % every:
                self._path(update).unlink(missing_ok=True)

    def updates(self) -> list[int]:
        """The moments at which there is a snapshot, in order."""
        names = [path.stem for path in self.folder.glob(f"*{_SUFFIX}")]
        return sorted(int(name) for name in names if name.isdigit())

    def shares(self, length: float, update: int | None = None) -> dict[tuple[float, int], float]:
        """How much each snapshot's averages (length, update) count in what `average` gives; raises as it does."""
        if not 0 < length <= LONGEST:
            raise DiffkitError(f"ema={length:g} is no length: give a number above 0 and at most {LONGEST:.3f}")
        updates = self.updates()
        if not updates:
            raise DiffkitError(
                f"the run {self.folder.parent} kept no snapshots: ema=... needs a run that was trained with"
                " callbacks=[progress,figures,saving,snapshots]"
            )
        end = updates[-1] if update is None else update
        if end not in updates:
            raise DiffkitError(
                f"the run {self.folder.parent} kept no snapshot after update {end}: choose one of {_listed(updates)}"
            )
        known = [(tracked, u) for u in updates for tracked in self._lengths(u)]
        shares, distance = mixture(known, (length, end))
        if distance > FAR:
            raise DiffkitError(self._too_far(length, distance, known, end))
        return dict(zip(known, shares.tolist(), strict=True))

    def average(self, length: float, update: int | None = None) -> dict[str, Tensor]:
        """The weights that learn, averaged over this length (as a share of the run so far) after `update` updates.

        `update` is the moment of a snapshot, by default the last one. Of all mixtures of the snapshots, this is the
        one whose weighting of the past is nearest. Raises `DiffkitError` where there is none, where one is damaged,
        or where the nearest is more than a tenth off.
        """
        amounts = self.shares(length, update)
        total: dict[str, Tensor] = {}
        for u in self.updates():
            for name, a in self._read(u).items():
                tracked, _, own = name.partition("/")
                total[own] = total.get(own, 0) + amounts[float(tracked), u] * a.double()
        return {name: a.float() for name, a in total.items()}

    def fill(self, model: nn.Module, length: float, update: int | None = None) -> None:
        """Give a model of the run the weights of an average; raises `DiffkitError` as `average` does."""
        weights = self.average(length, update)
        own = dict(model.named_parameters())
        if any(name not in own or own[name].shape != a.shape for name, a in weights.items()):
            raise DiffkitError(f"the snapshots in {self.folder} are not of this run's model: remove them")
        model.load_state_dict(weights, strict=False)

    def _too_far(self, length: float, distance: float, known: Sequence[tuple[float, int]], end: int) -> str:
        """The sentence that says what is available instead."""
        lengths = [i / 1000 for i in range(5, 289)]
        near = [other for other in lengths if mixture(known, (other, end))[1] <= FAR]
        span = f"they give lengths from {near[0]:g} to {near[-1]:g}" if near else "they give none"
        return (
            f"ema={length:g} cannot be made of the snapshots of the run {self.folder.parent} (what is nearest is"
            f" {distance:.0%} off): {span}; more snapshots (callbacks.snapshots.every) give shorter and longer ones"
        )

    def _path(self, update: int) -> Path:
        return self.folder / f"{update:09d}{_SUFFIX}"

    def _lengths(self, update: int) -> list[float]:
        return [float(length) for length in self._metadata(update)["lengths"]]

    def _metadata(self, update: int) -> dict[str, Any]:
        path = self._path(update)
        try:
            with safe_open(path, "pt") as file:
                made = json.loads((file.metadata() or {}).get(_KEY, "null"))
        except (OSError, SafetensorError, ValueError, RecursionError) as error:
            raise DiffkitError(f"the snapshot {path} is damaged: {error}; remove it to go without it") from error
        kind, _, number = str(made.get("format") if isinstance(made, dict) else "").rpartition(" ")
        if kind == _FORMAT.rpartition(" ")[0] and number.isdigit():
            refuse_newer(path, int(number), int(_FORMAT.rpartition(" ")[2]))
        if not isinstance(made, dict) or made.get("format") != _FORMAT or made.get("update") != update:
            raise DiffkitError(f"{path} is no snapshot of this version of diffkit: remove it to go without it")
        lengths = made.get("lengths")
        if not isinstance(lengths, list) or not all(isinstance(a, float) and 0 < a <= LONGEST for a in lengths):
            raise DiffkitError(f"the snapshot {path} is damaged: it does not say its lengths; remove it to go without")
        return made

    def _read(self, update: int) -> dict[str, Tensor]:
        path = self._path(update)
        made = self._metadata(update)
        try:
            tensors = load_tensors(path.read_bytes())
        except (OSError, SafetensorError, ValueError) as error:
            raise DiffkitError(f"the snapshot {path} is damaged: {error}; remove it to go without it") from error
        lengths = {name.partition("/")[0] for name in tensors}
        if digest(tensors) != made.get("sha256") or lengths != {f"{length:g}" for length in made["lengths"]}:
            raise DiffkitError(f"the snapshot {path} is damaged: it does not have its digest; remove it to go without")
        return tensors


def digest(tensors: Weights) -> str:
    """A digest of names, shapes and values."""
    digest = sha256()
    for name in sorted(tensors):
        a = tensors[name].contiguous()
        digest.update(f"{name}{list(a.shape)}".encode())
        digest.update(a.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _listed(updates: Sequence[int]) -> str:
    return ", ".join(map(str, updates if len(updates) <= 12 else [*updates[:6], "...", *updates[-6:]]))
