"""`diffkit check`: what a run would be made of."""

from typing import Any

from omegaconf import DictConfig
from torch import nn

from diffkit.compose.build import plain
from diffkit.compose.check import Skeleton
from diffkit.compose.nested import flat
from diffkit.compose.registry import registry
from diffkit.core.cost import cost
from diffkit.core.data import DataSpec
from diffkit.core.model import DiffusionModel
from diffkit.core.types import Shape


def report(cfg: DictConfig, run: Skeleton) -> str:
    """The parts and where they are from, shapes, parameters, network calls a sample, and the ends of log-SNR."""
    parts, model = run.parts, run.parts.model
    spec = parts.data.spec
    times = parts.grid(model.schedule)
    offered = ", ".join(f"{k} ({n} classes)" if n else k for k, n in spec.conditions.items()) or "none"
    told = bool(model.conditioners.keys)
    passes = cost(parts.sampler, parts.guidance, model.schedule, times, run.latents, told, model.learn_variance)
    ends = model.schedule.logsnr(times[[0, -2]]).tolist()
    counted = {"all": model, "denoiser": model.denoiser, "conditioners": model.conditioners, "codec": model.codec}
    figures = {
        "data": f"shape {_shape(spec.shape)}, in {_units(spec)}; conditions offered: {offered}",
        **({"licence": spec.licence} if spec.licence else {}),
        "shapes": f"x {_shape(spec.shape)} -> latents {_shape(run.latents)}",
        "condition": _condition(model),
        "parameters": ", ".join(f"{name} {_count(module):,}" for name, module in counted.items()),
        "sampling": str(passes),
        "log-SNR": f"{ends[0]:.2f} at the first step (t = {times[0]:.4f}), {ends[1]:.2f} at the last ({times[-2]:.4f})",
    }
    lines = [*_choices(cfg), "", *(f"{name:<12} {text}" for name, text in figures.items())]
    return "\n".join(lines)


def _choices(cfg: DictConfig) -> list[str]:
    """A line for each part: its kind, its name, its hyperparameters, and the plugin that it is from."""
    lines = []
    for kind in registry().kinds.values():
        if kind.name not in cfg:
            continue
        nodes: list[Any] = list((cfg[kind.name] or {}).values()) if kind.many else [cfg[kind.name]]
        for node in nodes:
            values = plain(node)
            name = values.pop("_part_")
            chosen = ", ".join(f"{k}={v}" for k, v in flat(values).items())
            lines.append(f"{kind.name:<12} {name:<12} {chosen:<60} {registry().entry(kind.name, name).plugin}".rstrip())
        if not nodes:
            lines.append(f"{kind.name:<12} (none)")
    return lines


def _units(spec: DataSpec) -> str:
    return ", ".join(dict.fromkeys(filter(None, spec.units))) or "no unit"


def _condition(model: DiffusionModel) -> str:
    spec = model.conditioners.spec
    widths = {slot: getattr(spec, slot) for slot in ("vector", "sequence", "spatial")}
    told = [f"{slot} of width {width}" for slot, width in widths.items() if width is not None]
    return ", ".join([*told, *["which points there are"] * spec.present]) or "none"


def _count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _shape(shape: Shape) -> str:
    return " x ".join(map(str, shape)) or "()"
