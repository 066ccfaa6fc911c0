"""The registry as a source of Hydra's configs: every part is an option of its kind's group, without any YAML."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import MISSING, Field, field, fields, make_dataclass
from typing import Any

from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigLoadError, ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra_zen import builds
from omegaconf import DictConfig, OmegaConf

from diffkit.compose.files import PackagedPresets, PresetFiles
from diffkit.compose.nested import as_node, default_part, inner_parts
from diffkit.compose.recorded import require
from diffkit.compose.registry import registry
from diffkit.compose.saved import Choices
from diffkit.compose.values import INJECTED, hyperparameters, parameters
from diffkit.core.errors import DiffkitError

SAVED = "saved"
"""The option that stands for a run's own choice."""
SAVED_KINDS = ("data", "sampler", "grid", "guidance")
"""What the presets of other verbs than train choose by it."""

_KIND = "_kind_"

_saved: ContextVar[Choices | None] = ContextVar("saved", default=None)


@contextmanager
def saved_choices(choices: Choices | None) -> Iterator[None]:
    """Within this context the option `saved` stands for what these chose; without them there is none."""
    token = _saved.set(choices)
    try:
        yield
    finally:
        _saved.reset(token)


def _node_type(kind: str, name: str) -> type[Any]:
    """A dataclass with `_part_` and a field for each hyperparameter, of the types that OmegaConf can hold.

    Parts within the part are missing.
    """
    cls = registry().load(kind, name)
    known, inner = hyperparameters(cls), inner_parts(cls)
    left_out = sorted(INJECTED & parameters(cls).keys() | inner.keys())
    try:
        built = builds(cls, populate_full_signature=True, zen_exclude=left_out)
    except Exception as error:
        raise DiffkitError(f"{kind}={name}: its constructor cannot be a config: {error}") from error
    keys = [(f.name, f.type, _default(f)) for f in fields(built) if f.name in known]
    part: tuple[str, Any, Any] = ("_part_", str, field(default=name))
    parts: list[tuple[str, Any, Any]] = [(key, Any, field(default="???")) for key in inner]
    return make_dataclass(f"{cls.__name__}Node", [part, *keys, *parts], namespace={_KIND: kind})


def kind_of_node(config: DictConfig) -> str | None:
    """The kind of the part that a typed node is for; None for any other node."""
    kind = vars(OmegaConf.get_type(config) or dict).get(_KIND)
    return None if kind is None else str(kind)


def _inner(kind: str, name: str) -> dict[str, tuple[str, str | None]]:
    """The parts within a part: the kind of each, and the name of its default."""
    cls, owner = registry().load(kind, name), str(registry().entry(kind, name))
    known = hyperparameters(cls)
    return {key: (inner, default_part(owner, inner, known[key])) for key, inner in inner_parts(cls).items()}


def _default(f: "Field[Any]") -> Any:
    if f.default_factory is not MISSING:
        return field(default_factory=f.default_factory)
    return field(default="???" if f.default is MISSING else f.default)


def node(kind: str, name: str, values: Mapping[str, Any] | None = None) -> DictConfig:
    """The typed config node of a part, with `values` in the place of its defaults; parts within it are complete."""
    config: DictConfig = OmegaConf.structured(_node_type(kind, name))
    known, inner = hyperparameters(registry().load(kind, name)), _inner(kind, name)
    for key, value in ({key: default for key, (_, default) in inner.items() if default} | dict(values or {})).items():
        if key not in known:
            raise DiffkitError(f"{kind}={name} has no key {key!r}: another version of it made the run.")
        if key in inner:
            config[key] = _made(inner[key][0], key, as_node(value))
        else:
            config[key] = value
    return config


def _made(kind: str, key: str, values: Any) -> DictConfig:
    """The node of a part that a file chose; raises `DiffkitError` if the file names none."""
    if not isinstance(values, Mapping) or not isinstance(values.get("_part_"), str):
        raise DiffkitError(f"The run's config is damaged at {key!r}: it names no {kind}.")
    return node(kind, values["_part_"], {k: v for k, v in values.items() if k != "_part_"})


def places(data: Mapping[str, Any]) -> list[str]:
    """The keys by which a data part's node says where its rows are: those without a default."""
    if not isinstance(data.get("_part_"), str):
        return []
    known = hyperparameters(registry().load("data", data["_part_"]))
    return [name for name, key in known.items() if key.required and name in data]


def option(kind: str, name: str) -> DictConfig:
    """A part's node as Hydra's defaults list wants it: parts within it are choices of their own."""
    config: DictConfig = OmegaConf.structured(_node_type(kind, name))
    inner = [{f"/{inner}@{key}": default or "???"} for key, (inner, default) in _inner(kind, name).items()]
    if inner:
        OmegaConf.update(config, "defaults", ["_self_", *inner], force_add=True)
    return config


class RegistrySource(ConfigSource):
    """`diffkit://`: groups are kinds, configs are parts, by short or qualified name."""

    @staticmethod
    def scheme() -> str:
        """See `ConfigSource`."""
        return "diffkit"

    def available(self) -> bool:
        """See `ConfigSource`."""
        return True

    def is_group(self, config_path: str) -> bool:
        """See `ConfigSource`; the plugins of a kind's qualified names are groups within it."""
        kind, _, plugin = config_path.strip("/").partition("/")
        if not plugin:
            return kind in ("", *registry().kinds)
        return kind in registry().kinds and plugin in {e.plugin.name for e in registry().entries(kind)}

    def is_config(self, config_path: str) -> bool:
        """See `ConfigSource`; an ambiguous name is one, so that loading it can say why it is refused."""
        kind, _, name = config_path.removesuffix(".yaml").partition("/")
        if kind not in registry().kinds or not name:
            return False
        if name == SAVED:
            choices = _saved.get()
            return kind in SAVED_KINDS or (choices is not None and kind in choices.config)
        return any(name in (e.component.name, e.qualified) for e in registry().entries(kind)) or "/" in name

    def load_config(self, config_path: str) -> ConfigResult:
        """See `ConfigSource`; raises `DiffkitError` for a part that cannot be imported."""
        if not self.is_config(config_path):
            raise ConfigLoadError(f"Config not found : {config_path}")
        kind, _, name = config_path.removesuffix(".yaml").partition("/")
        if name == SAVED:
            return self._result(kind, _saved_node(kind))
        short = name.rpartition("/")[2]
        return self._result(f"{kind}.{short}" if registry().kind(kind).many else kind, option(kind, name))

    def _result(self, package: str, config: DictConfig) -> ConfigResult:
        return ConfigResult(self.provider, self.full_path(), config, {"package": package})

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """See `ConfigSource`."""
        kind = config_path.strip("/")
        groups, configs = results_filter != ObjectType.CONFIG, results_filter != ObjectType.GROUP
        if not kind:
            return sorted(registry().kinds) if groups else []
        if kind not in registry().kinds or not configs:
            return []
        return sorted(registry().names(kind))


def _saved_node(kind: str) -> DictConfig:
    """A run's own choice; for a list kind, all of them. Where data are, a bundle alone does not say."""
    choices = _saved.get()
    if choices is None:
        return OmegaConf.create({})
    choice = require(choices.config, [kind]).get(kind) or {}
    if kind == "data" and not choices.own:
        choice = choice | dict.fromkeys(places(choice), "???")
    nodes = choice if registry().kind(kind).many else {kind: choice}
    made = {key: _made(kind, key, values) for key, values in nodes.items()}
    return OmegaConf.create(made) if registry().kind(kind).many else made[kind]


class RegistrySearchPath(SearchPathPlugin):
    """Puts the registry, and the presets that plugins bring, on Hydra's search path."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """See `SearchPathPlugin`."""
        search_path.append("diffkit", "diffkit://")
        for plugin in registry().plugins:
            for package in plugin.configs:
                search_path.append(plugin.name, package if "://" in package else f"pkg://{package}")


def register() -> None:
    """Make them known to Hydra. Its own discovery of plugins fails silently with modern editable installs."""
    for plugin in (RegistrySource, RegistrySearchPath):
        Plugins.instance().register(plugin)
    SourcesRegistry.instance().types |= {source.scheme(): source for source in (PresetFiles, PackagedPresets)}
