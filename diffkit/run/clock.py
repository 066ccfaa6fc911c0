"""Drawing samples while it is counted and clocked what they cost."""

from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from diffkit.core.data import DataSpec, rows_of
from diffkit.core.model import DiffusionModel
from diffkit.run.generate import Sampling, Watch, evaluating, generate, states


@dataclass(frozen=True)
class Drawn:
    """Samples and what they cost."""

    x: Float[Tensor, " b *d"]
    """In the data's own units."""
    calls: float
    """Passes of networks for a batch: those that were made, the mean over batches."""
    rows: float
    """Rows in these passes for a sample: a pass of classifier-free guidance has two."""
    seconds: float
    """For all samples, after a first step that does not count."""


def measured(
    model: DiffusionModel,
    spec: DataSpec,
    sampling: Sampling,
    asked: Mapping[str, Any],
    seed: int,
    batch_size: int,
    watch: Watch | None = None,
) -> Drawn:
    """One sample for each row of `asked`, with its conditions."""
    given = {name: column for name, column in asked.items() if name in sampling.reads(model)}
    n = len(asked["x"])
    first = range(min(n, batch_size))
    with evaluating(model):
        walk = states(model, spec, sampling, rows_of(given, torch.arange(len(first))), first, seed)
        next(walk), next(walk)
    others = sum(sampling.cost(model, spec, bool(given)).others.values())
    counter = _Counter()
    hook = model.denoiser.register_forward_pre_hook(counter)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    since = perf_counter()
    try:
        x = generate(model, spec, sampling, given, range(n), seed, batch_size=batch_size, watch=watch)
    finally:
        hook.remove()
    seconds = perf_counter() - since  # the samples are on the CPU: a GPU has nothing left to do
    return Drawn(x, counter.calls / -(-n // batch_size) + others, counter.rows / n + others, seconds)


class _Counter:
    """Counts the passes of a network, and the rows in them."""

    def __init__(self) -> None:
        self.calls = self.rows = 0

    def __call__(self, module: nn.Module, given: tuple[Any, ...]) -> None:
        self.calls, self.rows = self.calls + 1, self.rows + len(given[0])
