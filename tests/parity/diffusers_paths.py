"""The ways that diffusers' schedulers take, on given noise levels."""

from collections.abc import Callable
from typing import Any

import torch
from parity.paths import denoise, eps
from parity.peers import in_float64
from torch import Tensor

Denoise = Callable[[Tensor, Tensor], Tensor]


def ready(scheduler: Any, levels: Tensor) -> Any:
    """With the given levels in place of its own: one for each time but the last, and where the last step ends."""
    scheduler.set_timesteps(len(levels) - 1)
    scheduler.sigmas = levels
    return scheduler


def preserving(scheduler: Any, x: Tensor, levels: Tensor, denoise: Denoise = denoise) -> Tensor:
    """x / alpha after each step of a scheduler whose state is variance-preserving."""
    alphas, states = (1 + levels.square()).rsqrt(), []
    with in_float64():
        scheduler, state = ready(scheduler, levels), x * alphas[0]
        for i, t in enumerate(scheduler.timesteps):
            answer = (state / alphas[i] - denoise(state / alphas[i], levels[i])) / levels[i]
            state = scheduler.step(answer, t, state, return_dict=False)[0]
            states.append(state / alphas[i + 1])
    return torch.stack(states)


def exploding(scheduler: Any, x: Tensor, levels: Tensor) -> Tensor:
    """x / alpha after each call of a scheduler whose state is that."""
    states = []
    with in_float64():
        scheduler = ready(scheduler, levels)
        for i, t in enumerate(scheduler.timesteps):
            scheduler.scale_model_input(x, t)
            x = scheduler.step(eps(x, levels[i]), t, x, return_dict=False)[0]
            states.append(x)
    return torch.stack(states)
