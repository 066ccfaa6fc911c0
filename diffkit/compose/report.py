"""`diffkit check`: what a run would be made of."""

from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from diffkit.compose.build import Parts, plain
from diffkit.compose.check import skeleton
from diffkit.compose.nested import flat
from diffkit.compose.registry import registry
from diffkit.core.condition import Condition
from diffkit.core.guidance import Denoise, guide, told
from diffkit.core.model import DiffusionModel
from diffkit.core.sampler import calls, drive
from diffkit.core.types import Shape
from diffkit.core.variance import WithVariance


def report(cfg: DictConfig) -> str:
    """The parts and where they are from, shapes, parameters, network calls a sample, and the ends of log-SNR.

    Raises `DiffkitError` for parts that cannot work together.
    """
    run = skeleton(cfg)
    parts, model = run.parts, run.parts.model
    spec = parts.data.spec
    times = parts.grid(model.schedule)
    offered = ", ".join(f"{k} ({n} classes)" if n else k for k, n in spec.conditions.items()) or "none"
    walked, rows = calls(parts.sampler, model.schedule, times, model.learn_variance), _rows(parts, times)
    passes = f"{walked} network calls a sample" + (f", each of {rows / walked:g} rows" if rows != walked else "")
    ends = model.schedule.logsnr(times[[0, -2]]).tolist()
    counted = {"all": model, "denoiser": model.denoiser, "conditioners": model.conditioners, "codec": model.codec}
    figures = {
        "data": f"shape {_shape(spec.shape)}, in {spec.unit or 'no unit'}; conditions offered: {offered}",
        "shapes": f"x {_shape(spec.shape)} -> latents {_shape(run.latents)} -> network {_shape(run.output)}",
        "condition": _condition(model),
        "parameters": ", ".join(f"{name} {_count(module):,}" for name, module in counted.items()),
        "sampling": passes,
        "log-SNR": f"{ends[0]:.2f} at the first step (t = {times[0]:.4f}), {ends[1]:.2f} at the last ({times[-2]:.4f})",
    }
    lines = [*_choices(cfg), "", *(f"{name:<12} {text}" for name, text in figures.items())]
    return "\n".join(lines)


def _rows(parts: Parts, times: Tensor) -> int:
    """How many rows the network sees for one sample, guidance included; found by walking the grid at no cost."""
    count = 0

    def network(x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        nonlocal count
        count += len(x_t)
        return torch.zeros_like(x_t)

    condition = Condition()
    null = Condition() if parts.model.conditioners.keys else condition  # without a condition both are one pass
    bare: Denoise = WithVariance(lambda *asked: (network(*asked),) * 2) if parts.model.learn_variance else network
    denoise = told(guide(parts.guidance, bare, null), condition)
    for _ in drive(parts.sampler, denoise, parts.model.schedule, torch.ones(1, 1), times, torch.zeros_like):
        pass
    return count


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


def _condition(model: DiffusionModel) -> str:
    slots = {k: v for k, v in vars(model.conditioners.spec).items() if v is not None}
    return ", ".join(f"{slot} of width {width}" for slot, width in slots.items()) or "none"


def _count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _shape(shape: Shape) -> str:
    return " x ".join(map(str, shape)) or "()"
