"""What the parts of a run answer to one batch of shapes, held against what their kinds promise, before any work."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor

from diffkit.compose.build import Parts, latent_shape, many, part_name
from diffkit.compose.registry import Entry, registry
from diffkit.core.codec import Codec
from diffkit.core.condition import Condition
from diffkit.core.conditioner import Conditioner
from diffkit.core.cost import count
from diffkit.core.data import DataSpec
from diffkit.core.errors import DiffkitError
from diffkit.core.guidance import Denoise
from diffkit.core.model import DiffusionModel
from diffkit.core.sampler import State, calls, drive
from diffkit.core.types import Shape
from diffkit.core.variance import WithVariance

ROWS = 2


def rehearse(cfg: DictConfig, parts: Parts) -> None:
    """Call each part as a run does; raises `DiffkitError`, which names the part and its plugin.

    Networks are on the meta device, or cost nothing: it takes milliseconds.
    """
    _path(cfg, parts)
    _objective(cfg, parts)
    for node, conditioner in zip(many(cfg, "conditioner"), parts.model.conditioners.parts, strict=True):
        assert isinstance(conditioner, Conditioner)
        with answering("conditioner", node) as entry:
            _conditioner(entry, conditioner, parts.data.spec)
    with answering("codec", cfg["codec"]) as entry:
        _codec(entry, parts.model.codec, parts.data.spec)
    shape = (ROWS, *latent_shape(parts.model.codec, parts.data.spec))
    with answering("denoiser", cfg["denoiser"]) as entry:
        _denoiser(entry, parts.model, shape)
    _sampling(cfg, parts, shape)


@contextmanager
def answering(kind: str, node: Any) -> Iterator[Entry]:
    """Say of which part an error is; an operation that has no form on the meta device is none."""
    entry = registry().entry(kind, part_name(kind, node))
    try:
        yield entry
    except NotImplementedError:
        return
    except DiffkitError:
        raise
    except Exception as error:
        cause = " ".join(str(error).split())
        raise DiffkitError(f"The {entry} does not work: {type(error).__name__}: {cause}") from error


def require_like(entry: Entry, what: str, answer: object, shape: Shape) -> None:
    """Raise `DiffkitError` unless an answer is a tensor of this shape."""
    if not isinstance(answer, Tensor):
        raise DiffkitError(f"The {entry} must give {what} as a tensor, not as {type(answer).__name__}.")
    if tuple(answer.shape) != shape:
        raise DiffkitError(f"The {entry} must give {what} of shape {shape}, not {tuple(answer.shape)}.")


def _pair(entry: Entry, what: str, answer: object) -> None:
    if not isinstance(answer, tuple) or len(answer) != 2:
        raise DiffkitError(f"The {entry} must give {what}, a pair of tensors, not {type(answer).__name__}.")
    for one in answer:
        require_like(entry, what, one, (ROWS,))


def _path(cfg: DictConfig, parts: Parts) -> None:
    schedule = parts.model.schedule
    with answering("schedule", cfg["schedule"]) as entry:
        ends = schedule(torch.tensor([0.25, 0.75], dtype=torch.float64))
        _pair(entry, "(alpha, sigma)", ends)
    with answering("prediction", cfg["prediction"]) as entry:
        _pair(entry, "(c_skip, c_out)", parts.model.prediction(*ends))
    with answering("grid", cfg["grid"]) as entry:
        times = parts.grid(schedule)
        require_like(entry, "times", times, (len(times),))
        if times.dtype != torch.float64 or len(times) < 2 or times[-1] != 0 or not bool((times.diff() < 0).all()):
            raise DiffkitError(f"The {entry} must give falling times in float64 that end at 0, not {times}.")


def _objective(cfg: DictConfig, parts: Parts) -> None:
    schedule = parts.model.schedule
    u = torch.tensor([0.25, 0.75], dtype=torch.float64)
    with answering("density", cfg["density"]) as entry:
        t = parts.density(schedule, u)
        require_like(entry, "a time for each row", t, (ROWS,))
    with answering("weighting", cfg["weighting"]) as entry:
        alpha, sigma = schedule(u)
        c_out = parts.model.prediction(alpha, sigma)[1]
        require_like(entry, "a factor for each row", parts.weighting(schedule.logsnr(u), c_out), (ROWS,))


def _conditioner(entry: Entry, conditioner: Conditioner, spec: DataSpec) -> None:
    like = next(conditioner.parameters(), torch.empty(0))
    column: Any = ["a", "b"]
    if conditioner.key == "x":
        column = torch.zeros(ROWS, *spec.shape, device=like.device)
    elif spec.conditions[conditioner.key] is not None:
        column = torch.zeros(ROWS, dtype=torch.long, device=like.device)
    try:
        with torch.device(like.device), torch.no_grad():
            told: object = conditioner({conditioner.key: column})
    except Exception:
        if isinstance(column, list):  # it knows the texts of its data, which need not be like these
            return
        raise
    if not isinstance(told, Condition):
        raise DiffkitError(f"The {entry} must give a Condition, not {type(told).__name__}.")
    for slot, axis in (("vector", -1), ("sequence", -1), ("spatial", 1)):
        declared, given = getattr(conditioner.spec, slot), getattr(told, slot)
        width = None if given is None else given.shape[axis]
        if width != declared:
            raise DiffkitError(f"The {entry} declares {slot}={declared} in its spec, and gives a width of {width}.")
        if given is not None and len(given) != ROWS:
            raise DiffkitError(f"The {entry} must give {ROWS} rows of {slot} for {ROWS} rows, not {len(given)}.")


def _codec(entry: Entry, codec: Codec, spec: DataSpec) -> None:
    like = next(codec.parameters(), torch.empty(0))
    shape = (ROWS, *spec.shape)
    with torch.no_grad():
        z = codec.encode(torch.zeros(shape, device=like.device))
        require_like(entry, "latents of each row", z, (ROWS, *z.shape[1:]))
        require_like(entry, "what it decodes", codec.decode(z), shape)


def _denoiser(entry: Entry, model: DiffusionModel, shape: Shape) -> None:
    spec, like = model.conditioners.spec, next(model.parameters(), torch.empty(0))
    with torch.device(like.device), torch.no_grad():
        tokens = None if spec.sequence is None else torch.zeros(ROWS, 3, spec.sequence)
        condition = Condition(
            None if spec.vector is None else torch.zeros(ROWS, spec.vector),
            tokens,
            None if tokens is None else torch.ones(ROWS, 3, dtype=torch.bool),
            None if spec.spatial is None else torch.zeros(ROWS, spec.spatial, *shape[2:]),
        )
        try:
            output: object = model.network(torch.zeros(shape), torch.zeros(ROWS), condition)[0]
        except NotImplementedError:
            raise
        except Exception as error:
            cause = " ".join(str(error).split())
            raise DiffkitError(f"The {entry} cannot take data of shape {shape[1:]}: {cause}") from error
    require_like(entry, "the output F", output, shape)


def _sampling(cfg: DictConfig, parts: Parts, shape: Shape) -> None:
    model = parts.model
    times = parts.grid(model.schedule)
    with answering("sampler", cfg["sampler"]) as entry:
        calls(parts.sampler, model.schedule, times, model.learn_variance)
        given = WithVariance(lambda x, t: (torch.zeros_like(x),) * 2)
        state = next(drive(parts.sampler, given, model.schedule, torch.ones(shape), times, torch.zeros_like), None)
        if not isinstance(state, State):
            raise DiffkitError(f"The {entry} must yield a State for each step, not {type(state).__name__}.")
        require_like(entry, "the x of a step", state.x, shape)
        require_like(entry, "the x_0 of a step", state.x_0, shape)
    for node, guidance in zip(many(cfg, "guidance"), parts.guidance, strict=True):
        with answering("guidance", node) as entry:

            def walk(guided: Denoise, condition: Condition, entry: Entry = entry) -> None:
                x_0 = guided(torch.ones(shape), times[0], condition)
                require_like(entry, "a denoiser whose x_0 is like x_t", x_0, shape)

            count([guidance], model.schedule, bool(model.conditioners.keys), model.learn_variance, walk)
