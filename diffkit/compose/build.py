"""From a config to objects: every part is found by its name, and given what it asks for by name."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

import diffkit
from diffkit.compose.foreign import maker
from diffkit.compose.nested import as_node, how_to_choose, inner_parts
from diffkit.compose.registry import Entry, registry
from diffkit.compose.values import INJECTED, convert, hyperparameters, parameters
from diffkit.core.codec import Codec, alike
from diffkit.core.conditioner import Conditioner, Conditioners
from diffkit.core.data import Data, DataSpec
from diffkit.core.errors import DiffkitError, nearest
from diffkit.core.grid import Grid
from diffkit.core.guidance import Guidance
from diffkit.core.model import DiffusionModel, Network
from diffkit.core.objective import TimeDensity, Weighting
from diffkit.core.sampler import Sampler
from diffkit.core.types import Shape

Node = Mapping[str, Any] | DictConfig
"""`{_part_: name, hyperparameter: value, ...}`; a hyperparameter that is left out has its default."""


@dataclass(frozen=True)
class Parts:
    """What a run is made of."""

    data: Data
    model: DiffusionModel
    density: TimeDensity
    weighting: Weighting
    sampler: Sampler
    grid: Grid
    guidance: list[Guidance]
    metrics: dict[str, Any]
    task: Any
    """A LightningModule."""


def create(kind: str, name: str, **values: Any) -> Any:
    """Build one part by name, from hyperparameters and whatever else its constructor asks for.

    Raises `DiffkitError` for an unknown kind, name or hyperparameter, a value out of its range or one that is missing.
    """
    given = {name: value for name, value in values.items() if name in INJECTED}
    return part(kind, {"_part_": name, **{k: v for k, v in values.items() if k not in INJECTED}}, **given)


def part(kind: str, node: Node, beside: str = "", **injected: Any) -> Any:
    """Build one part from its node. Of `injected`, it is given what its constructor asks for by name.

    Raises `DiffkitError` as `create` does; it names what the part is to stand `beside`, such as `data=moons`.
    """
    values = plain(node)
    entry = registry().entry(kind, part_name(kind, values))
    cls = registry().load(kind, values.pop("_part_"))
    key = f"{kind}.{entry.component.name}" if registry().kind(kind).many else kind
    checked = check_values(key, entry, cls, values)
    for name, inner in inner_parts(cls).items():
        if isinstance(checked.get(name), Mapping):
            checked[name] = part(inner, checked[name], **injected)
    injected.setdefault("load_model", diffkit.load_model)
    wanted = [name for name in parameters(cls) if name in INJECTED]
    lacking = [n for n in wanted if injected.get(n) is None and parameters(cls)[n].required]
    if lacking:
        raise DiffkitError(_lacking(entry, lacking))
    given = {name: injected[name] for name in wanted if name in injected}
    with _explained(entry, beside):
        return cls(**checked, **given)


def plain(node: Node) -> dict[str, Any]:
    """A node as a plain dict, its interpolations resolved."""
    if isinstance(node, DictConfig):
        return {str(k): v for k, v in (OmegaConf.to_container(node, resolve=True) or {}).items()}  # type: ignore[union-attr]
    return dict(node)


def part_name(kind: str, values: Mapping[str, Any]) -> str:
    """The name in a part's node; raises `DiffkitError` if it has none."""
    name = values.get("_part_")
    if not isinstance(name, str):
        raise DiffkitError(f"{kind} names no part: choose one with {kind}=NAME ({', '.join(registry().names(kind))}).")
    return name


def check_values(key: str, entry: Entry, cls: type[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Hyperparameters as the constructor wants them; raises `DiffkitError` for one it does not know or allow."""
    known, inner = hyperparameters(cls), inner_parts(cls)
    for name in values:
        if name not in known:
            raise DiffkitError(f"{key}.{name}: the {entry} has no such key; {nearest(name, known)}")
    for name, parameter in known.items():
        if values.get(name, "???" if parameter.required else None) == "???":
            how = f"; {how_to_choose(inner[name], f'{key}.{name}')}" if name in inner else ""
            raise DiffkitError(f"{key}.{name} must be given: the {entry} has no default for it{how}.")
    return {
        name: check_inner(f"{key}.{name}", inner[name], value)
        if name in inner
        else convert(f"{key}.{name}", value, known[name].hint)
        for name, value in values.items()
    }


def check_inner(key: str, kind: str, value: Any) -> Any:
    """The node of a part within a part, checked as any part's is; a part that is made already is left as it is.

    Raises `DiffkitError` for what is neither.
    """
    node = as_node(value)
    if isinstance(node, registry().interface(kind)):
        return node
    if not isinstance(node, Mapping) or "_part_" not in node:
        raise DiffkitError(f"{key}={value} is not allowed: {key} must be a {kind}; {how_to_choose(kind, key)}.")
    return check_part(key, kind, node)


def check_part(key: str, kind: str, node: Mapping[str, Any]) -> dict[str, Any]:
    """A part's node with its values as the constructor wants them; raises `DiffkitError` as `check_values` does."""
    name = part_name(kind, node)
    entry, cls = registry().entry(kind, name), registry().load(kind, name)
    return {"_part_": name, **check_values(key, entry, cls, {k: v for k, v in node.items() if k != "_part_"})}


def _lacking(entry: Entry, names: list[str]) -> str:
    if names == ["classes"]:
        return f"The {entry} needs the number of classes, but the data offer no labels: choose other data."
    return f"The {entry} asks for {', '.join(names)}, which a {entry.component.kind} is not given here."


@contextmanager
def _explained(entry: Entry, beside: str = "") -> Iterator[None]:
    """Say which part it was that a constructor's error came from, and beside what it was to stand."""
    what = f"The {entry} could not be built{beside and f' for {beside}'}"
    try:
        yield
    except DiffkitError as error:
        raise type(error)(f"{what}: {error}") from error
    except Exception as error:
        cause = " ".join(str(error).split())
        raise DiffkitError(f"{what}: {type(error).__name__}: {cause}") from error


def build_model(cfg: Node, spec: DataSpec, device: str = "cpu") -> DiffusionModel:
    """The untrained model of a config, for data of this spec; random weights come from torch's generator.

    On the device `"meta"` its tensors have shapes and no values. Raises `DiffkitError` for parts that do not fit each
    other or the data.
    """
    schedule = part("schedule", cfg["schedule"])
    with _explained(registry().entry("schedule", part_name("schedule", cfg["schedule"]))):
        schedule.span()  # it gives alpha and sigma at all
    prediction = part("prediction", cfg["prediction"], schedule=schedule)
    data = str((cfg.get("data") or {}).get("_part_"))
    with torch.device(device):
        codec: Codec = part("codec", cfg["codec"], f"data={data}", shape=spec.shape, spec=spec)
        shape = latent_shape(codec, spec)
        given = {"shape": shape, "classes": spec.conditions.get("label")}
        nodes = many(cfg, "conditioner")
        parts = [part("conditioner", node, f"data={data}", **given) for node in nodes]
        for conditioner, node in zip(parts, nodes, strict=True):
            _refuse_missing_column(conditioner, node["_part_"], spec, data)
            if conditioner.key == "x" and conditioner.spec.spatial is not None and shape != tuple(spec.shape):
                raise DiffkitError(
                    f"conditioner={node['_part_']} has the places of the data {spec.shape}, which latents of {shape} do"
                    " not have: choose codec=identity, or another conditioner"
                )
            _refuse_other_space(conditioner, node["_part_"], spec, shape)
        conditioners = Conditioners(parts, size=shape[1:])
        learn_variance: bool = convert("learn_variance", cfg.get("learn_variance", False), bool)
        channels = (2 * shape[0], *shape[1:]) if learn_variance else shape
        told = {"shape": channels, "condition": conditioners.spec, "schedule": schedule}
        denoiser = part("denoiser", cfg["denoiser"], f"data={data}", **told)
    return DiffusionModel(denoiser, prediction, schedule, conditioners, codec, learn_variance)


def latent_shape(codec: Codec, spec: DataSpec) -> Shape:
    """The shape of one sample as it is diffused."""
    tensors = chain(codec.parameters(), codec.buffers())
    like = next((a for a in tensors if a.is_floating_point()), torch.empty(0))
    with torch.no_grad():
        return tuple(codec.encode(torch.zeros(1, *spec.shape).to(like)).shape[1:])


def _refuse_missing_column(conditioner: Conditioner, name: str, spec: DataSpec, data: str) -> None:
    if "key" not in dir(conditioner):
        raise DiffkitError(f"The {registry().entry('conditioner', name)} is not complete: it lacks key, its column.")
    if conditioner.key != "x" and conditioner.key not in spec.conditions:
        offered = ", ".join(map(repr, sorted(spec.conditions))) or "no conditions at all"
        raise DiffkitError(
            f"conditioner={name} needs the column {conditioner.key!r}, but data={data} offers {offered}: "
            "choose other data, or another conditioner (conditioner=[] for none)."
        )


def _refuse_other_space(conditioner: Conditioner, name: str, spec: DataSpec, shape: Shape) -> None:
    if conditioner.spec.spatial is not None and shape[1:] != tuple(spec.shape[1:]):
        raise DiffkitError(
            f"conditioner={name} gives channels over the places of the data, {spec.shape[1:]}, but latents with places "
            f"{shape[1:]} are diffused: choose codec=identity, or another conditioner"
        )


def many(cfg: Node, kind: str) -> list[Any]:
    """The nodes of a list kind, in order."""
    return list((cfg[kind] or {}).values())


def build_sampling(cfg: Node, spec: DataSpec, codec: Codec) -> tuple[Sampler, Grid, list[Guidance]]:
    """The sampler, the grid and the list of guidances of a config, for data of this spec and this codec.

    Guidance is told of what is diffused. Raises `DiffkitError` for one with a model of other latents.
    """

    def other(path: str, told: DataSpec, ema: float | None = None, update: int | None = None) -> Network:
        network = diffkit.load_model(path, spec, ema, update)
        if not alike(codec, network.codec):
            raise DiffkitError(
                f"the model of {path} has another codec, and so sees other latents: choose one that was trained with"
                " the codec of this run"
            )
        return network

    known = diffused(spec, codec)
    guidance = [part("guidance", node, spec=known, load_model=other) for node in many(cfg, "guidance")]
    return part("sampler", cfg["sampler"]), part("grid", cfg["grid"]), guidance


def diffused(spec: DataSpec, codec: Codec) -> DataSpec:
    """What is diffused of data: themselves, or latents, which have neither unit nor bounds."""
    shape = latent_shape(codec, spec)
    if shape == tuple(spec.shape) and not codec.state_dict():
        return spec
    return DataSpec(shape, spec.conditions, class_names=spec.class_names)


def build_metrics(cfg: Node, data: Data, seed: int) -> dict[str, Any]:
    """The metrics of a config by name."""
    classes = data.spec.conditions.get("label")
    given: dict[str, Any] = {"data": data, "seed": seed, "shape": data.spec.shape, "classes": classes}
    return {str(name): part("metric", node, **given) for name, node in (cfg["metric"] or {}).items()}


def build(cfg: Node) -> Parts:
    """Everything that a training run is made of.

    Raises `DiffkitError` for a part that cannot be built, or does not fit the others.
    """
    data: Data = part("data", cfg["data"], seed=cfg["seed"])
    return assemble(cfg, data, build_model(cfg, data.spec))


def assemble(cfg: Node, data: Data, model: DiffusionModel) -> Parts:
    """What `build` returns, around a model that is there already."""
    density = part("density", cfg["density"], schedule=model.schedule)
    weighting = part("weighting", cfg["weighting"], schedule=model.schedule)
    sampler, grid, guidance = build_sampling(cfg, data.spec, model.codec)
    dropout = cfg["condition_dropout"]
    task = part(
        "task",
        cfg["task"],
        model=model,
        density=density,
        weighting=weighting,
        optimizer=maker("optimizer", cfg["optimizer"]),
        condition_dropout=dropout if isinstance(dropout, int | float) else tuple(dropout),
        shape=latent_shape(model.codec, data.spec),
        data=data,
        classes=data.spec.conditions.get("label"),
        seed=cfg["seed"],
    )
    draws = isinstance(task.model, DiffusionModel)  # else there are no samples to be judged
    metrics = build_metrics(cfg, data, cfg["seed"]) if draws else {}
    return Parts(data, model, density, weighting, sampler, grid, guidance, metrics, task)
