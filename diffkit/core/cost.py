"""What a sample costs, found by walking the grid with networks that cost nothing."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core.condition import Condition
from diffkit.core.guidance import Branches, Denoise, Function, Guidance, guide, told
from diffkit.core.sampler import Sampler, drive
from diffkit.core.schedule import Schedule
from diffkit.core.types import Shape
from diffkit.core.variance import WithVariance


@dataclass(frozen=True)
class Cost:
    """What one sample costs."""

    calls: int
    """Passes of the model's network."""
    rows: int
    """The rows in them: a pass of classifier-free guidance has two."""
    others: Mapping[str, int] = field(default_factory=dict)
    """Passes of other networks, by the name of the guidance that asks."""

    def __str__(self) -> str:
        each = f", each of {self.rows / self.calls:.3g} rows" if self.rows != self.calls else ""
        others = [f"{calls} of {name}" for name, calls in self.others.items()]
        return "; ".join([f"{self.calls} network calls a sample{each}", *others])


def cost(
    sampler: Sampler,
    guidances: Sequence[Guidance],
    schedule: Schedule,
    times: Float[Tensor, " n"],
    shape: Shape,
    conditional: bool,
    variance: bool,
) -> Cost:
    """The cost of a sample of this `shape`; see `count`. For an adaptive sampler, that of data that are all zeros."""

    def walk(guided: Denoise, condition: Condition) -> None:
        for _ in drive(sampler, told(guided, condition), schedule, torch.ones(1, *shape), times, torch.zeros_like):
            pass

    return count(guidances, schedule, conditional, variance, walk)


def count(
    guidances: Sequence[Guidance],
    schedule: Schedule,
    conditional: bool,
    variance: bool,
    walk: Callable[[Denoise, Condition], None],
) -> Cost:
    """What `walk` costs for one row, which is given a guided denoiser that costs nothing, and a condition.

    `conditional` says whether the model is told something: where it is not, its two branches are one. `variance` says
    whether it gives v.
    """
    calls = rows = 0
    others = Counter[str]()

    def network(x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        nonlocal calls, rows
        calls, rows = calls + 1, rows + len(x_t)
        return 0 * x_t  # which a guidance may differentiate

    def other(name: str, f: Function, x_t: Tensor) -> Tensor:
        others[name] += 1
        return torch.zeros_like(x_t)

    condition = Condition()
    null = Condition() if conditional else condition
    bare: Denoise = WithVariance(lambda *asked: (network(*asked),) * 2) if variance else network
    walk(guide(guidances, Branches(bare, null, schedule, other=other)), condition)
    return Cost(calls, rows, dict(others))
