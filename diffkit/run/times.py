"""The times of a step: spread over a batch, and gathered from all devices."""

import torch
from torch import Tensor, distributed


def everywhere(rows: Tensor) -> Tensor:
    """The rows of all devices, in the same order on each."""
    if not distributed.is_initialized():
        return rows
    parts = [torch.empty_like(rows) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, rows)
    return torch.cat(parts)


def spread(u: Tensor, stratify: str) -> Tensor:
    """Uniform numbers that cover [0, 1) more evenly than the independent ones `u`, as `Task` says."""
    if stratify == "none":
        return u
    places = torch.arange(len(u), device=u.device)
    return (places + u) / len(u) if stratify == "strata" else (places / len(u) + u[0]) % 1
