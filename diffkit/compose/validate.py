"""What Hydra cannot know: whether every value of a composed config is one that its part, or its verb, allows."""

from collections.abc import Mapping
from typing import Any, get_type_hints

from omegaconf import DictConfig, OmegaConf, open_dict

from diffkit.compose.build import check_part
from diffkit.compose.foreign import ALLOWED, check_node, check_targets
from diffkit.compose.keys import VERBS
from diffkit.compose.registry import registry
from diffkit.compose.secrets import refuse_secrets
from diffkit.compose.values import convert
from diffkit.core.errors import DiffkitError, nearest

_SAMPLING = ["sampler", "grid", "guidance"]
_MODEL = ["data", "codec", "conditioner", "denoiser", "prediction", "schedule"]
_TRAINING = ["density", "weighting", "task", "optimizer", "logger", "callbacks"]
GROUPS = {
    "train": [*_MODEL, *_TRAINING, *_SAMPLING, "metric", "trainer"],
    "sample": [*_SAMPLING, "trainer", "logger"],
    "evaluate": ["data", *_SAMPLING, "metric", "trainer"],
    "compare": ["data", *_SAMPLING, "metric", "logger"],
}
"""The groups that a verb's config has."""


def validate(cfg: DictConfig, verb: str) -> None:
    """Resolve the config in place, and bring every value to the type that it is declared with.

    Raises `DiffkitError` for a key that is unknown or missing, and for a value that is not allowed, or a secret.
    """
    plain = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(plain, dict)
    refuse_secrets(plain)
    hints = get_type_hints(VERBS[verb], include_extras=True)
    groups = [*GROUPS[verb], *(k for k in registry().kinds if k in plain and k not in GROUPS[verb])]
    _refuse_unknown(plain, [*hints, *groups])
    values: dict[str, Any] = {}
    for key, hint in hints.items():
        if plain[key] == "???":
            raise DiffkitError(f"{key} must be given: {key}=...")
        values[key] = convert(key, plain[key], hint)
    for group in groups:
        values[group] = _group(group, plain[group])
    with open_dict(cfg):
        for key, value in values.items():
            OmegaConf.update(cfg, key, value, merge=False)


def _refuse_unknown(plain: Mapping[Any, Any], allowed: list[str]) -> None:
    for key in plain:
        if key not in allowed:
            raise DiffkitError(f"There is no key {key!r}: {nearest(str(key), allowed)}")
    for key in allowed:
        if key not in plain:
            raise DiffkitError(f"{key} is missing: it cannot be deleted or null; choose a value with {key}=...")


def _group(group: str, node: Any) -> Any:
    """The values of one group, checked."""
    if group in ("logger", "callbacks") or (group in registry().kinds and registry().kind(group).many):
        if not isinstance(node, Mapping):
            raise DiffkitError(f"{group}={node} is not allowed: {group} is a list, such as {group}=[] for none.")
        return {name: _node(group, f"{group}.{name}", inner) for name, inner in node.items()}
    return _node(group, group, node)


def _node(group: str, key: str, node: Any) -> Any:
    if not isinstance(node, Mapping):
        raise DiffkitError(f"{key}={node} is not allowed: choose an option of the group {group}.")
    check_targets(key, node)
    if group in ALLOWED:
        if "_target_" not in node:
            raise DiffkitError(f"{key} has no _target_: choose it with {group}=[{key.rpartition('.')[2]}].")
        check_node(key, node)
        return node
    if "_part_" not in node and "." in key:
        name = key.rpartition(".")[2]
        raise DiffkitError(f"{key} has values, but is not chosen: add {name} to {group}=[...], or drop them: ~{key}")
    return check_part(key, group, node)
