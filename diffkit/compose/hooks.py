"""What a plugin says of itself: the hooks that it may implement, and what they return."""

import re
from dataclasses import dataclass

import pluggy

from diffkit.core.errors import DiffkitError

API = 1
"""The version of the plugin API: of the hooks, and of the interfaces in `diffkit.core`.

A plugin states the one that it was written for as `diffkit_api` in its entry module. This one and the one before it
are accepted; a plugin that states none is taken to be written for the first.
"""

hookspec = pluggy.HookspecMarker("diffkit")
hookimpl = pluggy.HookimplMarker("diffkit")
"""Marks a function of a plugin as one of the hooks of `Hooks`."""

_NAME = re.compile(r"[A-Za-z_][\w-]*")
_TARGET = re.compile(r"[\w.]+:\w+")
_FOLDER = re.compile(r"[A-Za-z_][\w.]*:[\w-]+(/[\w-]+)*")


def _refuse_name(what: str, name: object) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise DiffkitError(f"the name of a {what} is made of letters, digits, '_' and '-', unlike {name!r:.60}")


def _refuse_target(what: str, target: object) -> None:
    if not isinstance(target, str) or not _TARGET.fullmatch(target):
        raise DiffkitError(f"the {what} is written 'module:name', unlike {target!r:.60}")


@dataclass(frozen=True)
class Component:
    """A part on offer: its kind, the name it is chosen by, and where it is.

    `target` is `"module:Class"`, imported when the part is chosen and not before, or the class itself. Raises
    `DiffkitError` for a name or a target that is none.
    """

    kind: str
    name: str
    target: str | type

    def __post_init__(self) -> None:
        _refuse_name("part", self.name)
        if not isinstance(self.target, type):
            _refuse_target(f"target of {self.kind}={self.name}", self.target)


@dataclass(frozen=True)
class Kind:
    """A kind of part: its name, the `"module:Class"` that its parts implement, and whether a run takes a list.

    Raises `DiffkitError` for a name or an interface that is none.
    """

    name: str
    interface: str
    many: bool = False

    def __post_init__(self) -> None:
        _refuse_name("kind", self.name)
        _refuse_target(f"interface of the kind {self.name}", self.interface)


@dataclass(frozen=True)
class Command:
    """A verb of the plugin's own: `diffkit <name> ...`, and a line of `diffkit --help`.

    `target` is `"module:function"`, imported when the verb is called. The function takes the list of the arguments
    after the verb and returns the exit status, or None for 0. Raises `DiffkitError` for a name or a target that is
    none.
    """

    name: str
    target: str
    summary: str = ""

    def __post_init__(self) -> None:
        _refuse_name("command", self.name)
        _refuse_target(f"target of the command {self.name}", self.target)


@dataclass(frozen=True)
class NamedBundle:
    """A bundle that the plugin ships, and the name that it is found by: `diffkit sample run=<name>`.

    `folder` is `"package:folder"`, the bundle's place in the plugin's package, such as `"my_plugin:bundles/faces"`.
    `summary` is its line of `diffkit list`. Raises `DiffkitError` for a name or a folder that is none; `last` is the
    newest run, and no name.
    """

    name: str
    folder: str
    summary: str = ""

    def __post_init__(self) -> None:
        _refuse_name("bundle", self.name)
        if self.name == "last":
            raise DiffkitError("a bundle cannot have the name 'last', which is the newest run's")
        if not isinstance(self.folder, str) or not _FOLDER.fullmatch(self.folder):
            raise DiffkitError(
                f"the folder of the bundle {self.name} is written 'package:folder', unlike {self.folder!r:.60}"
            )


class Hooks:
    """What a plugin may implement; each hook returns a list."""

    @hookspec
    def diffkit_components(self) -> list[Component]:  # type: ignore[empty-body]
        """The parts that the plugin offers."""

    @hookspec
    def diffkit_configs(self) -> list[str]:  # type: ignore[empty-body]
        """Packages with YAML presets to put on Hydra's search path, such as `"my_plugin.conf"`."""

    @hookspec
    def diffkit_kinds(self) -> list[Kind]:  # type: ignore[empty-body]
        """New kinds of part."""

    @hookspec
    def diffkit_commands(self) -> list[Command]:  # type: ignore[empty-body]
        """Verbs of the plugin's own."""

    @hookspec
    def diffkit_bundles(self) -> list[NamedBundle]:  # type: ignore[empty-body]
        """Trained models that come with the plugin."""
