"""A saved run as sampling and evaluating need it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffkit.compose.build import build_sampling, part, part_name
from diffkit.compose.bundles import shipped
from diffkit.compose.recorded import require
from diffkit.compose.registry import registry
from diffkit.compose.saved import in_run
from diffkit.compose.source import places
from diffkit.core.data import Data, DataSpec, Drawing, Portable
from diffkit.core.errors import DiffkitError
from diffkit.core.model import DiffusionModel
from diffkit.core.types import Batch
from diffkit.run.bundle import load, locate
from diffkit.run.generate import Sampling
from diffkit.run.links import refuse_links
from diffkit.run.others import matched
from diffkit.run.snapshots import FOLDER, Snapshots


@dataclass(frozen=True)
class Saved:
    """A trained model, the choices that made it, and the folder that belongs to it."""

    model: DiffusionModel
    spec: DataSpec
    config: dict[str, Any]
    folder: Path
    """Where what is made of it goes: the run's folder; that of the bundle where there is no run about it.

    For one that a plugin ships it is `runs/bundle-<name>`, which need not exist yet.
    """
    alone: bool = False
    """Whether it is a bundle without a run about it."""
    own: bool = True
    """Whether its config may say where on this machine its data are: it is no bundle alone, or a plugin's."""

    def inside(self, name: str = "") -> Path:
        """A place in its folder to write in; raises `DiffkitError` if a link there leads elsewhere."""
        refuse_links(self.folder)
        return self.folder / name

    @property
    def seed(self) -> int:
        """The seed it was trained with."""
        return int(self.config.get("seed", 0))

    def data(self, chosen: Mapping[str, Any] | None = None) -> Data:
        """The data that it was trained on, to be compared with; or `chosen` ones, as from another place.

        They are standardised as the model's. Raises `DiffkitError` if the part is not installed, if the data are not at
        hand, or if they are of another kind.
        """
        own = self._data
        node = own if chosen is None else chosen
        try:
            made: Data = part("data", node, seed=self.seed)
        except DiffkitError as error:
            keys = places(node)
            if not keys or any(node[key] != own.get(key) for key in keys):
                raise
            raise DiffkitError(
                f"{error}; figures need rows of the data, which {self.folder} read from"
                f" {' '.join(f'data.{key}={node[key]}' for key in keys)}: say where they are now with"
                f" {' '.join(f'data.{key}=...' for key in keys)}"
            ) from error
        return matched(made, self.spec, str(self.folder))

    def drawing(self) -> Drawing:
        """What draws its samples, without the data where that can be.

        A bundle alone may be anybody's: what its config names on this machine is not read. Raises `DiffkitError` if the
        part is not installed, or draws nothing without data that may not be read.
        """
        kind = registry().load("data", part_name("data", self._data))
        if issubclass(kind, Portable):
            return kind.drawing(self.spec, self._rows)
        if not self.own and places(self._data):
            raise DiffkitError(
                f"{self.folder} is a bundle alone, and samples of data={part_name('data', self._data)} cannot be drawn"
                " without the data, which it may not choose on this machine: give run=RUN"
            )
        return self.data()

    def _rows(self) -> Batch | None:
        """Rows of the training split, in their own units; None where the data are not at hand, or may not be read."""
        if not self.own and places(self._data):
            return None
        try:
            data = self.data()
            return data.spec.own(data.reference("train"))
        except DiffkitError:
            return None

    @property
    def _data(self) -> dict[str, Any]:
        node: dict[str, Any] = require(self.config, ["data"])["data"]
        return node

    def snapshots(self) -> Snapshots:
        """The snapshots that the run kept; raises `DiffkitError` where there is no run about the bundle."""
        if self.alone:
            raise DiffkitError(f"ema=... needs the snapshots of a run; {self.folder} is a bundle alone: give run=RUN")
        return Snapshots(self.folder / FOLDER)

    def sampling(self) -> Sampling:
        """How its samples are drawn unless one says otherwise."""
        config = require(self.config, ["sampler", "grid", "guidance"])
        return Sampling(*build_sampling(config, self.spec, self.model.codec))


def open_run(path: str | Path, ema: float | None = None, update: int | None = None) -> Saved:
    """The run or bundle at `path` (`last`: the newest run), or the bundle that a plugin ships under this name.

    With `ema`, its weights are those of a power-function average of this length after `update` updates (by default
    the last), made of the snapshots that a run kept. Raises `DiffkitError` if there is no run, if it is damaged, if a
    part that it needs is not installed, or if there are no such snapshots.
    """
    bundle, place = load(path), locate(path)
    if not isinstance(bundle.model, DiffusionModel):
        raise DiffkitError(
            f"{place} holds a {type(bundle.model).__name__}, which draws no samples: it is for other runs"
        )
    inside = in_run(place)
    lacking = [kind for kind in ("data", "sampler", "grid", "guidance") if kind not in bundle.config]
    if lacking:
        raise DiffkitError(f"{place / 'config.yaml'} is damaged: it does not say its {', '.join(lacking)}")
    if ema is None and update is not None:
        raise DiffkitError(f"update={update} is the moment of an average: choose its length with ema=...")
    named = shipped(path)
    folder = named.out if named else place.parent if inside else place
    saved = Saved(bundle.model, bundle.spec, bundle.config, folder, not inside, inside or named is not None)
    if ema is not None:
        saved.snapshots().fill(saved.model, ema, update)
    return saved
