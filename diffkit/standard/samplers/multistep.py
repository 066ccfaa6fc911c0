"""The loop of every sampler that makes one call a step: a table of coefficients is all that it needs."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core.sampler import Denoiser, Draw, State


@dataclass(frozen=True)
class Table:
    r"""The coefficients of steps that are linear in x and in the last k slopes, the newest first; all float64.

    $$ x_s = \mathrm{keep}\, x_t + \sum_j \mathrm{pull}_j\, F^{(-j)} + \mathrm{spread}\, z,
       \qquad F = \mathrm{mix}_1 x_t + \mathrm{mix}_2 \hat x_0 $$

    Without `mix`, F is x_0 itself. Without `spread`, or where it is 0, no noise is drawn.
    """

    keep: Float[Tensor, " n"]
    pull: Float[Tensor, "n k"]
    mix: tuple[Float[Tensor, " n"], Float[Tensor, " n"]] | None = None
    spread: Float[Tensor, " n"] | None = None


def multistep(
    denoise: Denoiser,
    x: Float[Tensor, " b *d"],
    times: Float[Tensor, " m"],
    noise: Draw,
    table: Table,
    before: Sequence[Tensor] = (),
) -> Iterator[State]:
    """Walk the times by the table; `before` are slopes from before the first time, the newest first."""
    keeps, pulls, until = table.keep.tolist(), table.pull.tolist(), times.tolist()
    spreads = [0.0] * len(keeps) if table.spread is None else table.spread.tolist()
    mixes = None if table.mix is None else list(zip(*(m.tolist() for m in table.mix), strict=True))
    slopes = deque(before, maxlen=table.pull.shape[1])
    for i, t in enumerate(times[:-1].unbind()):
        x_0 = denoise(x, t)
        slopes.appendleft(x_0 if mixes is None else _slope(x, x_0, mixes[i], slopes))
        x = noise(x).mul_(spreads[i]).add_(x, alpha=keeps[i]) if spreads[i] else x * keeps[i]
        for weight, slope in zip(pulls[i], slopes, strict=False):  # fewer slopes in the first steps
            if weight:
                x.add_(slope, alpha=weight)
        yield State(i + 1, until[i + 1], x, x_0)


def _slope(x: Tensor, x_0: Tensor, mix: tuple[float, float], known: deque[Tensor]) -> Tensor:
    """F, in the memory of the slope that is no longer needed: to allocate it costs more than to fill it."""
    room = known.pop() if len(known) == known.maxlen else torch.empty_like(x)
    return torch.mul(x_0, mix[1], out=room).add_(x, alpha=mix[0])
