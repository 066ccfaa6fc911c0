"""Lightning's and torch's own objects: the only ones that a config names by `_target_`, from a short list."""

import inspect
import re
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from omegaconf import DictConfig, OmegaConf

from diffkit.compose.limits import limited
from diffkit.compose.values import convert, parameters
from diffkit.core.errors import DiffkitError, nearest

ALLOWED = {
    "trainer": ("lightning.pytorch.Trainer",),
    "logger": ("lightning.pytorch.loggers.*", "diffkit.run.logging.*"),
    "callbacks": ("lightning.pytorch.callbacks.*", "diffkit.run.callbacks.*"),
    "optimizer": ("torch.optim.*",),
}
"""What each group's `_target_` may be; the star stands for the name of one class of that module."""
_BASES = {
    "trainer": "lightning.pytorch.Trainer",
    "logger": "lightning.pytorch.loggers.Logger",
    "callbacks": "lightning.pytorch.callbacks.Callback",
    "optimizer": "torch.optim.Optimizer",
}
"""What the class of each group must be: such a module has other classes too, those that it imports."""


def allowed(target: object, group: str) -> bool:
    """Whether `_target_` may be this in this group. It looks at the text alone and imports nothing."""
    patterns = [re.escape(p).replace(r"\*", "[A-Z][A-Za-z0-9]*") for p in ALLOWED.get(group, ())]
    return isinstance(target, str) and any(re.fullmatch(p, target) for p in patterns)


def check_targets(key: str, node: object) -> None:
    """Refuse every `_target_` at or below `node` but an allowed one at its top; raises `DiffkitError` with its key.

    Where a group has targets, no other key may begin with an underscore: `_args_` and the like are Hydra's own.
    """
    group = key.split(".")[0]
    if isinstance(node, Mapping) and allowed(node.get("_target_"), group):
        node = {name: value for name, value in node.items() if name != "_target_"}
    _refuse_targets(key, node, group)


def _refuse_targets(key: str, node: object, group: str) -> None:
    if isinstance(node, Mapping):
        for name, value in node.items():
            if name == "_target_":
                raise DiffkitError(
                    f"{key}._target_={value!s:.60} is not allowed: it must be one of "
                    f"{', '.join(ALLOWED.get(group, ())) or '(nothing: choose a part by its name)'}, and stand at the"
                    " top of what is chosen."
                )
            if group in ALLOWED and str(name).startswith("_"):
                raise DiffkitError(f"{key}.{name} is not allowed: give the arguments of the object by their names.")
            _refuse_targets(f"{key}.{name}", value, group)
    elif isinstance(node, list | tuple):
        for i, value in enumerate(node):
            _refuse_targets(f"{key}.{i}", value, group)


def check_config(config: Mapping[Any, Any]) -> None:
    """Refuse every `_target_` of a whole config that is not allowed; raises `DiffkitError` with its key."""
    for key, node in config.items():
        several = key in ("logger", "callbacks") and isinstance(node, Mapping)
        for place, inner in {f"{key}.{name}": one for name, one in node.items()}.items() if several else [(key, node)]:
            check_targets(str(place), inner)


def leads_out(node: Mapping[str, Any]) -> list[str]:
    """The arguments of an object that name a place on this machine, or another one: a folder, a file or an address."""
    texts = {name: value for name, value in node.items() if isinstance(value, str) and name != "_target_"}
    return [name for name, value in texts.items() if _place(name, value)]


def _place(name: str, value: str) -> bool:
    parts = {*PurePosixPath(value).parts, *PureWindowsPath(value).parts}
    absolute = PurePosixPath(value).is_absolute() or PureWindowsPath(value).drive or value.startswith("~")
    return bool(absolute) or ".." in parts or "://" in value or name.endswith(("dir", "path", "uri", "url"))


def target_class(key: str, node: Mapping[str, Any]) -> type[Any]:
    """The class that a node names, which `key` says; raises `DiffkitError` unless it is what its group asks for."""
    check_targets(key, {"_target_": node["_target_"]})
    module, _, name = str(node["_target_"]).rpartition(".")
    base, _, of = _BASES[key.split(".")[0]].rpartition(".")
    try:
        found, wanted = getattr(import_module(module), name), getattr(import_module(base), of)
    except (ImportError, AttributeError) as error:
        raise DiffkitError(f"{node['_target_']} could not be imported: {error}") from error
    if not isinstance(found, type) or not issubclass(found, wanted):
        raise DiffkitError(f"{key}._target_={node['_target_']} is not allowed: it is no {of}.")
    return found


def check_node(key: str, node: Mapping[str, Any]) -> None:
    """Refuse an argument that the object does not have or allow; raises `DiffkitError` with its key."""
    cls = target_class(key, node)
    known = parameters(cls)
    open_ended = any(p.kind is p.VAR_KEYWORD for p in inspect.signature(cls).parameters.values())
    for name, value in node.items():
        if name == "_target_" or (key, name, value) == ("trainer", "precision", "auto"):  # which is ours
            continue
        if name in known:
            convert(f"{key}.{name}", value, limited(key, name, known[name].hint))
        elif not open_ended:
            raise DiffkitError(f"{key}.{name}: {cls.__name__} has no such argument; {nearest(name, known)}")


def maker(key: str, node: Mapping[str, Any]) -> "partial[Any]":
    """The class of one of Lightning's or torch's objects, with the arguments of its node, which `key` names.

    Raises `DiffkitError` for a `_target_` that is not on the list. What a text says is never looked up: whatever it is
    like, it is given to the class as it is.
    """
    plain: Any = OmegaConf.to_container(node, resolve=True) if isinstance(node, DictConfig) else dict(node)
    check_targets(key, plain)
    make: Callable[..., Any] = target_class(key, plain)
    return partial(make, **{name: value for name, value in plain.items() if name != "_target_"})


def instantiate(key: str, node: Mapping[str, Any], **values: Any) -> Any:
    """Build one of Lightning's or torch's objects from its node, which `key` names, and `values`.

    Raises `DiffkitError` as `maker` does, and with the cause where the object refuses.
    """
    make = maker(key, node)
    try:
        return make(**values)
    except Exception as error:
        cause = " ".join(str(error.__cause__ or error).split())
        raise DiffkitError(f"{key} ({node['_target_']}) could not be built: {cause}") from error
