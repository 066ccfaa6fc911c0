"""Lightning's and torch's own objects: the only ones that a config names by `_target_`, from a short list."""

import inspect
import re
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from omegaconf import DictConfig, OmegaConf

from diffkit.compose.values import convert, parameters
from diffkit.core.errors import DiffkitError, nearest

ALLOWED = {
    "trainer": ("lightning.pytorch.Trainer",),
    "logger": ("lightning.pytorch.loggers.*", "diffkit.run.logging.*"),
    "callbacks": ("lightning.pytorch.callbacks.*", "diffkit.run.callbacks.*"),
    "optimizer": ("torch.optim.*",),
}
"""What each group's `_target_` may be; the star stands for the name of one class of that module."""


def allowed(target: object, group: str) -> bool:
    """Whether `_target_` may be this in this group. It looks at the text alone and imports nothing."""
    patterns = [re.escape(p).replace(r"\*", "[A-Z][A-Za-z0-9]*") for p in ALLOWED.get(group, ())]
    return isinstance(target, str) and any(re.fullmatch(p, target) for p in patterns)


def check_targets(key: str, node: object) -> None:
    """Refuse every `_target_` below `node` that is not on the list; raises `DiffkitError` with its key."""
    if isinstance(node, Mapping):
        group = key.split(".")[0]
        if "_target_" in node and not allowed(node["_target_"], group):
            raise DiffkitError(
                f"{key}._target_={node['_target_']} is not allowed: it must be one of "
                f"{', '.join(ALLOWED.get(group, ())) or '(nothing: choose a part by its name)'}."
            )
        for name, value in node.items():
            check_targets(f"{key}.{name}", value)
    elif isinstance(node, list | tuple):
        for i, value in enumerate(node):
            check_targets(f"{key}.{i}", value)


def target_class(node: Mapping[str, Any]) -> type[Any]:
    """The class that an allowed node names."""
    module, _, name = str(node["_target_"]).rpartition(".")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise DiffkitError(f"{node['_target_']} could not be imported: {error}") from error
    if not isinstance(found, type):
        raise DiffkitError(f"{node['_target_']} is no class.")
    return found


def check_node(key: str, node: Mapping[str, Any]) -> None:
    """Refuse an argument that the object does not have or allow; raises `DiffkitError` with its key."""
    cls = target_class(node)
    known = parameters(cls)
    open_ended = any(p.kind is p.VAR_KEYWORD for p in inspect.signature(cls).parameters.values())
    for name, value in node.items():
        if name.startswith("_") or (key, name, value) == ("trainer", "precision", "auto"):  # which is ours
            continue
        if name in known:
            convert(f"{key}.{name}", value, known[name].hint)
        elif not open_ended:
            raise DiffkitError(f"{key}.{name}: {cls.__name__} has no such argument; {nearest(name, known)}")


def instantiate(key: str, node: Mapping[str, Any], **values: Any) -> Any:
    """Build one of Lightning's or torch's objects from its node, which `key` names, and `values`.

    Raises `DiffkitError` for a `_target_` that is not on the list, and with the cause where the object refuses.
    """
    from hydra import utils

    plain: Any = OmegaConf.to_container(node, resolve=True) if isinstance(node, DictConfig) else dict(node)
    check_targets(key, plain)
    target_class(plain)
    try:
        return utils.instantiate(plain, _convert_="all", **values)
    except Exception as error:
        cause = error.__cause__ or error
        raise DiffkitError(f"{key} ({plain['_target_']}) could not be built: {cause}") from error
