"""Hydra's and OmegaConf's errors in one sentence each: what is wrong, where, and what to do."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, get_type_hints

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, ListConfig
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    ConfigTypeError,
    InterpolationResolutionError,
    MissingMandatoryValue,
    OmegaConfBaseException,
    ValidationError,
)
from yaml import MarkedYAMLError

from diffkit.compose.foreign import target_class
from diffkit.compose.keys import VERBS
from diffkit.compose.limits import limited
from diffkit.compose.nested import how_to_choose
from diffkit.compose.presets import config_dir
from diffkit.compose.registry import registry
from diffkit.compose.source import kind_of_node
from diffkit.compose.validate import GROUPS
from diffkit.compose.values import describe, hyperparameters, parameters
from diffkit.core.errors import DiffkitError, brief, nearest


@contextmanager
def explained(verb: str) -> Iterator[None]:
    """Turn whatever composing raises into a `DiffkitError`."""
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise DiffkitError(_sentence(error, verb)) from error
    except MarkedYAMLError as error:
        raise DiffkitError(_damaged(error)) from error


def _damaged(error: MarkedYAMLError) -> str:
    """Where a preset is no YAML, and why; two values of one key are none."""
    mark = error.problem_mark
    place = "a preset" if mark is None else f"{mark.name}, line {mark.line + 1}"
    return f"{place}, cannot be read: {error.problem or error.context}."


def _sentence(error: Exception, verb: str) -> str:
    cause = error if isinstance(error, OmegaConfBaseException) else error.__cause__
    if isinstance(error, MissingConfigException):
        return _missing(error)
    if isinstance(error, OverrideParseException):
        why = error.message.splitlines()[0].replace(error.override, brief(error.override))
        return f"{brief(error.override)!r} cannot be read: {brief(why)}. Write key=value, and quote text."
    if isinstance(cause, ValidationError):
        return _wrong_type(cause, verb)
    if isinstance(cause, ConfigAttributeError | ConfigKeyError):
        return _unknown_key(cause, verb)
    if isinstance(cause, InterpolationResolutionError):
        return f"{cause.full_key}: {_first_line(cause)}."
    if isinstance(cause, MissingMandatoryValue):
        return f"{cause.full_key} must be given: {cause.full_key}=..."
    if isinstance(cause, ConfigTypeError) and "deletion" in str(cause):
        return f"{cause.full_key} cannot be deleted: give it a value instead."
    return _plain(error, verb)


def _first_line(error: object) -> str:
    return str(error).strip().splitlines()[0].rstrip(".")


def _plain(error: Exception, verb: str) -> str:
    """Hydra's own words, where they say enough."""
    lines = [line.strip().rstrip(".") for line in str(error).splitlines() if line.strip()]
    if lines and lines[0].startswith("Could not override '"):
        name = lines[0].split("'")[1]
        if "@" in name:
            return _no_inner(name, lines)
        if "No match in the defaults list" in lines[0]:
            return f"diffkit {verb} makes no choice of {name!r}: {nearest(name, GROUPS[verb])}"
    if lines and lines[0].startswith("Multiple values for"):
        name = lines[0].split()[3].rstrip(".")
        return f"{name} has a choice already: change it with {name}=NAME, without +."
    if lines and lines[0].startswith("You must specify"):
        kind, _, key = lines[0].split("'")[1].partition("@")
        return f"{key} must be given: {how_to_choose(kind, key)}."
    cause = "" if error.__cause__ is None else f" ({_first_line(error.__cause__)})"
    return "; ".join(lines) + cause + "."


def _no_inner(name: str, lines: list[str]) -> str:
    """A part within a part that is not there; Hydra names those that are."""
    kind, _, key = name.partition("@")
    others = [word for line in lines[1:] for word in re.findall(rf"{kind}@[\w.]+", line) if word != name]
    why = f"what is chosen for {key.rpartition('.')[0]} takes no {kind} there"
    return f"{name} chooses nothing: {why}" + (f"; {nearest(name, others)}" if others else ".")


def _missing(error: MissingConfigException) -> str:
    """A name that no source has; of parts, the registry knows more than Hydra."""
    group, _, name = (error.missing_cfg_file or "").partition("/")
    options = list(error.options or sorted(file.stem for file in (config_dir() / group).glob("*.yaml")))
    if group in registry().kinds and name:
        known = registry().names(group)
        if set(options) <= set(known):
            try:
                registry().entry(group, name)
            except DiffkitError as unknown:
                return str(unknown)
    if name and options:
        return f"There is no {group} {name!r}: {nearest(name, options)}"
    return "; ".join(line.strip() for line in str(error).split("Config search path")[0].splitlines() if line.strip())


def _hints(key: str, parent: Any, verb: str) -> dict[str, Any]:
    """The keys that may stand beside `key`, with their hints; empty if nothing is known of the place."""
    kind, *rest = key.split(".")
    if not rest:
        return get_type_hints(VERBS[verb], include_extras=True)
    if isinstance(parent, ListConfig):  # an item of a list: the list is the key
        parent = parent._get_parent()
    if not isinstance(parent, DictConfig):
        return {}
    values = {str(k): v for k, v in parent.items_ex(resolve=False)}
    try:
        kind = kind_of_node(parent) or kind
        if kind in registry().kinds and "_part_" in values:
            known = hyperparameters(registry().load(kind, str(values["_part_"])))
            return {name: p.hint for name, p in known.items()}
        if "_target_" in values:
            found = parameters(target_class(kind, values))
            return {name: limited(kind, name, p.hint) for name, p in found.items()}
    except DiffkitError:  # the sentence about the key is the one that counts here
        pass
    return {}


def _wrong_type(error: OmegaConfBaseException, verb: str) -> str:
    key = str(error.full_key)
    hints = _hints(key, error.parent_node, verb)
    name = key.rpartition(".")[2].partition("[")[0]
    what = f"{key} must be {describe(hints[name])}" if name in hints else _first_line(error)
    return f"{key}={error.value} is not allowed: {what}." if error.value is not None else f"{key}: {what}."


def _unknown_key(error: OmegaConfBaseException, verb: str) -> str:
    key = str(error.full_key)
    place, _, name = key.rpartition(".")
    present = [str(k) for k in error.parent_node] if isinstance(error.parent_node, DictConfig) else []
    hints = _hints(key, error.parent_node, verb)
    if place and name in hints:
        return f"{key} is not set in the preset: add it with +{key}=..."
    allowed = {*present, *hints} - {"_part_", "_target_", "hydra"}
    where = f" in {place}" if place else ""
    return f"There is no key {name!r}{where}: {nearest(name, allowed)}"
