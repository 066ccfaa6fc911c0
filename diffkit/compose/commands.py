"""Verbs that plugins bring: `diffkit <verb> ...` beside diffkit's own, which they cannot replace."""

import warnings
from collections import Counter
from collections.abc import Collection, Sequence
from importlib import import_module

from diffkit.compose.guard import contained
from diffkit.compose.hooks import Command
from diffkit.compose.installed import PluginWarning
from diffkit.compose.plugins import Plugin
from diffkit.compose.registry import registry
from diffkit.core.errors import DiffkitError, RunFailed, nearest

Offer = tuple[Command, Plugin]


def names(own: Collection[str]) -> dict[str, Offer]:
    """The verbs by the names that they may be called by: qualified where the short name is not theirs alone.

    A broken plugin is not warned of here: a list of names, such as the shell completes, is no place for that.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PluginWarning)
        offers = _offers()
    found: dict[str, Offer] = {}
    claims = Counter([*own, *(command.name for command, _ in offers)])
    for command, plugin in offers:
        found[command.name if claims[command.name] == 1 else _qualified(command, plugin)] = (command, plugin)
    return found


def help_lines(own: Collection[str]) -> str:
    """A line for each verb, for the command's help; nothing where there is none."""
    lines = [f"  diffkit {name:<16} {c.summary} ({plugin})\n" for name, (c, plugin) in names(own).items()]
    return "\nCommands of plugins:\n" + "".join(lines) if lines else ""


def call(verb: str, arguments: Sequence[str], own: Collection[str]) -> int:
    """Run a plugin's verb and return its exit status.

    Raises `DiffkitError` for a verb that nobody offers, or two do, and for one that cannot be imported; `RunFailed` for
    one that fails by itself.
    """
    command, plugin = _find(verb, own)
    who = f"command {command.name!r} of {plugin}"
    module, _, name = command.target.partition(":")
    try:
        with contained():
            function = getattr(import_module(module), name)
    except (Exception, SystemExit) as error:
        cause = f"{type(error).__name__}: {error}"
        raise DiffkitError(f"The {who} could not be imported from {command.target}: {cause}") from error
    try:
        status = function(list(arguments))
    except DiffkitError:
        raise
    except Exception as error:
        cause = " ".join(str(error).split()) or "no message"
        raise RunFailed(f"The {who} failed: {type(error).__name__}: {cause} (--debug shows where)") from error
    if status is not None and type(status) is not int:
        raise RunFailed(f"The {who} must return its exit status, a whole number or None, not {status!r:.60}.")
    return status or 0


def _offers() -> list[Offer]:
    return [(command, plugin) for plugin in registry().plugins for command in plugin.commands]


def _qualified(command: Command, plugin: Plugin) -> str:
    return f"{plugin.name}/{command.name}"


def _find(verb: str, own: Collection[str]) -> Offer:
    found = [offer for offer in _offers() if verb in (offer[0].name, _qualified(*offer))]
    if len(found) > 1:
        which = " and ".join(f"{plugin} (diffkit {_qualified(command, plugin)})" for command, plugin in found)
        raise DiffkitError(f"diffkit {verb} is claimed by {which}: call one by its qualified name.")
    if not found:
        broken = registry().broken()
        raise DiffkitError(
            f"There is no command {verb!r}: {nearest(verb, {*own, *names(own)})} (diffkit --help){broken}"
        )
    return found[0]
