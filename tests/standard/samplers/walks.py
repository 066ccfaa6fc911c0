"""Short walks on a mixture, in y = x / alpha at noise levels r = sigma / alpha: the coordinates of `independent`."""

from collections.abc import Callable, Sequence
from math import hypot

import torch
from torch import Tensor

from diffkit.core.sampler import Sampler, drive
from diffkit.standard.schedules import Cosine
from diffkit.testing.oracle import Mixture, denoiser

LEVELS = [5.0, 2.0, 0.7, 0.25, 0.0]
DATA = Mixture.circle()


def denoise(y: Tensor, r: float) -> Tensor:
    """The answer in these coordinates."""
    return DATA.x_0(y, 1.0, r)


def start() -> Tensor:
    """The first y."""
    return hypot(1, LEVELS[0]) * torch.randn(5, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def draws(n: int) -> list[Tensor]:
    """Noise for a walk."""
    return list(torch.randn(n, 5, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64))


def walk(
    sampler: Sampler,
    noises: Sequence[Tensor] = (),
    levels: Sequence[float] = LEVELS,
    model: Callable[[Tensor, Tensor], Tensor] | None = None,
    y: Tensor | None = None,
) -> list[Tensor]:
    """y after each step; raises if not all of the noise is asked for, or more."""
    schedule, drawn = Cosine(), iter(noises)
    inner = torch.tensor(levels[:-1], dtype=torch.float64)
    times = torch.cat([schedule.time(-2 * inner.log()), torch.zeros(1, dtype=torch.float64)])
    alpha = schedule(times)[0]
    x = alpha[0] * (start() if y is None else y)
    states = list(drive(sampler, model or denoiser(DATA, schedule), schedule, x, times, lambda x: next(drawn).clone()))
    assert next(drawn, None) is None, "noise that was not asked for"
    return [state.x / a for state, a in zip(states, alpha[1:], strict=True)]


def close(got: list[Tensor], wanted: list[Tensor]) -> None:
    """All states agree to 1e-12 of the first one's scale."""
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-12 * LEVELS[0])
