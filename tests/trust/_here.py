"""Tiny training runs in the tests' own process, composed once."""

from copy import deepcopy
from functools import cache

import yaml
from omegaconf import DictConfig, OmegaConf

from trust.command import injected, tiny


@cache
def _base() -> DictConfig:
    from diffkit import compose

    return compose(tiny())


def run(*overrides: str, inject: str = "") -> tuple[int, str]:
    """Train in the current folder; the exit status that the command would have, and its error.

    `overrides` are of single keys: parts are those of `TINY`. What is no error of diffkit's is raised.
    """
    from diffkit import DiffkitError
    from diffkit.run.train import train

    cfg = deepcopy(_base())
    for override in overrides:
        key, _, value = override.lstrip("+").partition("=")
        OmegaConf.update(cfg, key, yaml.safe_load(value), force_add=True)
    with injected(*filter(None, [inject])):
        try:
            train(cfg, overrides)
        except DiffkitError as error:
            return error.status, str(error)
    return 0, ""
