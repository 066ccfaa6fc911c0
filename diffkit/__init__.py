"""diffkit: a diffusion model is a handful of small parts; compose any of them into a run.

Importing this package imports neither torch nor lightning; its functions do so when they are called.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffkit.compose.hooks import API, Command, Component, Kind, NamedBundle, hookimpl
from diffkit.core.errors import DiffkitError

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from diffkit.core.data import DataSpec
    from diffkit.core.model import Network
    from diffkit.pipeline import Pipeline

__version__ = "0.1.0"
__all__ = [
    "API",
    "Command",
    "Component",
    "DiffkitError",
    "Kind",
    "NamedBundle",
    "compose",
    "create",
    "hookimpl",
    "load",
    "load_model",
    "use",
]


def load(path: str | Path, ema: float | None = None, update: int | None = None) -> "Pipeline":
    """Load a run or a bundle for sampling: `diffkit.load("runs/last").sample(n=4)`.

    `ema` is the length of an average of the weights to use instead of the run's own, above 0 and at most 0.288, and
    `update` the moment of the training that it is of (by default the end); both need a run that kept snapshots.
    Raises `DiffkitError` if there is none at `path`, if it is damaged, or if a plugin that it needs is missing.
    """
    from diffkit.pipeline import load

    return load(path, ema, update)


def load_model(
    path: str | Path, spec: "DataSpec | None" = None, ema: float | None = None, update: int | None = None
) -> "Network":
    """The network that a run or bundle holds: a `DiffusionModel`, or what another task trained (a classifier).

    `ema` and `update` choose another average of a `DiffusionModel`, as `load` does. Raises `DiffkitError` as `load`
    does, and if the network sees other data than those of `spec`: of another shape, unit or standardisation.
    """
    from diffkit.pipeline import load_model

    return load_model(path, spec, ema, update)


def create(kind: str, name: str, **values: Any) -> Any:
    """Build one part by name: `diffkit.create("sampler", "ddim", eta=0.5)`.

    Raises `DiffkitError` for an unknown kind, name or hyperparameter, and for a value out of its range.
    """
    from diffkit.compose.build import create

    return create(kind, name, **values)


def compose(overrides: Sequence[str] = (), verb: str = "train") -> "DictConfig":
    """The config that `diffkit <verb> <overrides>` would run with.

    Raises `DiffkitError` for an override that does not fit.
    """
    from diffkit.compose.hydra import compose

    return compose(overrides, verb)


def use(plugin: object) -> None:
    """Use a plugin that is not installed: a path of a Python file, an object with hooks, or one `Component`.

    What is used again, such as a notebook's cell that was run again, takes the place of what was used before it under
    the same name. Raises `DiffkitError` if it cannot be loaded, or offers nothing.
    """
    from diffkit.compose.use import use

    use(plugin)
