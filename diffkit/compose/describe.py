"""`diffkit <verb> --help`: the keys of a verb, and every group and option with where it comes from."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from diffkit.compose.overview import Option, components, groups, keys, presets
from diffkit.compose.registry import registry
from diffkit.compose.sources import find
from diffkit.core.errors import DiffkitError


def print_help(verb: str, arguments: Sequence[str]) -> None:
    """Print the keys and the groups of a verb; presets of `--config-dir` too."""
    folders = _folders(arguments)
    print(f"diffkit {verb} [key=value ...] [flags]\n\nKeys:")
    for key, text in keys(verb).items():
        print(f"  {key:<18} {text}")
    print("\nGroups, and what there is to choose from (group=NAME, or group=[NAME,...] for a list):")
    for group, options in _grouped(folders).items():
        print(f"\n  {group}{' (a list)' if _many(group) else ''}")
        for option in options:
            print(f"    {option.name:<20} {option.summary:<90} {option.origin}".rstrip())
    print(
        "\nEach choice has keys of its own: sampler.eta=0.5, guidance.cfg.scale=3. See them all with --cfg job.\n"
        "A part within a part: schedule=shifted schedule@schedule.base=linear schedule.base.steps=100.\n"
        "Flags are Hydra's: -m (a run for each value), --cfg job, --package KEY, --info [defaults|searchpath|...],\n"
        "--config-dir DIR (presets of your own), -sc install=bash (completion). "
        f"Ours are {'--allow-change KEY, ' if verb == 'train' else ''}--plugin FILE, and --debug."
    )


def _many(group: str) -> bool:
    kinds = registry().kinds
    return group in ("logger", "callbacks") or (group in kinds and kinds[group].many)


def _grouped(folders: Sequence[tuple[str, Path]]) -> dict[str, list[Option]]:
    parts = {kind: components(kind) for kind in registry().kinds}
    found = {group: presets(group, folders) for group in groups(folders)}
    return {group: [*parts.get(group, []), *found.get(group, [])] for group in {**parts, **found}}


def _folders(arguments: Sequence[str]) -> list[tuple[str, Path]]:
    """Every folder of presets and who brings it: diffkit, plugins, and the user."""
    from diffkit.compose.presets import config_dir

    folders = [("diffkit", config_dir())]
    for plugin in registry().plugins:
        for package in plugin.configs:
            spec = find(package.removeprefix("pkg://").replace("/", "."))
            folders += [(str(plugin), Path(place)) for place in (spec and spec.submodule_search_locations) or ()]
    words = [w for a in arguments for w in a.split("=", 1)]
    for flag, value in pairwise(words):
        if flag in ("--config-dir", "-cd"):
            if not Path(value).is_dir():
                raise DiffkitError(f"--config-dir {value}: there is no such folder.")
            folders.append((value, Path(value)))
    return folders
