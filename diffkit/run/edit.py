"""Editing: what is done with a model beside drawing samples from nothing."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core.condition import Condition, mix
from diffkit.core.data import KNOWN
from diffkit.core.guidance import Denoise, told
from diffkit.core.inpaint import Inpaint
from diffkit.core.inversion import Leapfrog, ddim_noise, exact_noise, slerp
from diffkit.core.noise import Noise
from diffkit.core.sampler import Denoiser, Draw, Sampler, State, drive, prior
from diffkit.core.schedule import Schedule
from diffkit.core.types import Batch, Count, Fraction, Natural, expand

GIVEN = "given"
"""The column of what was brought to be edited (b, *shape), in the data's own units; NaN where it is missing."""
TO = "_to"
"""What the columns of an interpolation's other end are called by, after their name."""
SHARE = "share"
"""The column that says how far each row is from one end to the other."""


@dataclass(frozen=True)
class Walk:
    """What a sampler is given for a batch of rows: plain sampling's, unless an edit changes it."""

    sampler: Sampler
    schedule: Schedule
    guided: Denoise
    condition: Condition
    other: Condition
    """That of an interpolation's other end; the same object where there is none."""
    times: Float[Tensor, " n"]
    eps: Float[Tensor, " b *d"]
    """The first noise of each row."""
    x: Float[Tensor, " b *d"]
    """The state at the first time."""
    noise: Draw
    """The noise after that."""
    seed: int
    ids: tuple[int, ...]

    @property
    def denoise(self) -> Denoiser:
        """The guided denoiser, told the condition."""
        return told(self.guided, self.condition)

    def states(self) -> Iterator[State]:
        """The states after the first one; none where the walk begins at its end."""
        if len(self.times) > 1:
            yield from drive(self.sampler, self.denoise, self.schedule, self.x, self.times, self.noise)

    def at(self, eps: Float[Tensor, " b *d"]) -> Float[Tensor, " b *d"]:
        """The state at the first time from this noise."""
        return prior(self.schedule, self.times, eps)


class Edit(ABC):
    """A change to how a batch of samples is drawn. A frozen dataclass of plain values: what is edited is in columns."""

    @abstractmethod
    def __call__(self, walk: Walk, columns: Batch, encode: Callable[[Tensor], Tensor]) -> Walk:
        """The walk as it is to be; `encode` takes rows in the data's own units to where the model works."""


def logsnr_of(strength: float) -> float:
    r"""$\log\mathrm{SNR} = \log \frac{1 - s}{s}$: a strength s is the noise's share of the variance of x_t."""
    return math.inf if strength == 0 else -math.inf if strength == 1 else math.log((1 - strength) / strength)


@dataclass(frozen=True)
class ImageToImage(Edit):
    r"""From the given rows with noise on them, instead of from noise: `strength` is the noise's share of the variance.

    $$ x_t = \alpha_t x_0 + \sigma_t \varepsilon, \qquad
       s = \frac{\sigma_t^2}{\alpha_t^2 + \sigma_t^2}, \qquad \log\mathrm{SNR}_t = \log \frac{1 - s}{s} $$

    The grid is cut at that time; its steps below are made. At 1, and wherever the grid starts with more signal, it is
    plain sampling; at 0 nothing is changed.
    Meng et al. 2022, SDEdit: Guided Image Synthesis and Editing with Stochastic Differential Equations.
    """

    strength: Fraction

    def __call__(self, walk: Walk, columns: Batch, encode: Callable[[Tensor], Tensor]) -> Walk:
        """See `Edit`."""
        t = walk.schedule.time(torch.tensor(logsnr_of(self.strength), dtype=torch.float64))
        if t >= walk.times[0]:
            return walk
        alpha, sigma = (c.item() for c in walk.schedule(t))
        times = cut(walk.times, t) if sigma else walk.times[-1:]
        return replace(walk, times=times, x=alpha * encode(columns[GIVEN]) + sigma * walk.eps)


def cut(times: Float[Tensor, " n"], t: Float[Tensor, ""]) -> Float[Tensor, " m"]:
    """The grid from `t` on, which is before its end and not before its first time.

    The grid's next time is left out where it is so near that a step to there would be less than half of its own.
    """
    i = int((times >= t).sum())
    near = 0 < i < len(times) - 1 and t - times[i] < (times[i - 1] - times[i]) / 2
    return torch.cat([t[None], times[i + near :]])


@dataclass(frozen=True)
class Inpainting(Edit):
    """The known numbers of each row stay, and the others are drawn to suit them; see `Inpaint`."""

    repeats: Count = 10
    jump: Count = 1

    def __call__(self, walk: Walk, columns: Batch, encode: Callable[[Tensor], Tensor]) -> Walk:
        """See `Edit`."""
        known = columns[KNOWN].to(walk.x.device)
        sampler = Inpaint(walk.sampler, encode(columns[GIVEN]), known, self.repeats, self.jump)
        return replace(walk, sampler=sampler, x=sampler.put_back(walk.schedule, walk.x, walk.times[0], walk.noise))


@dataclass(frozen=True)
class Variations(Edit):
    r"""Samples that share most of their noise with sample `of` of the same seed, by `amount` of a quarter circle.

    $$ z = \cos(\tfrac\pi2 a)\, z_\mathrm{of} + \sin(\tfrac\pi2 a)\, z_i $$

    Sample `of` is itself; at 0 all noise is shared, so that conditions alone make a difference; at 1 none.
    """

    of: Natural
    amount: Fraction

    def __call__(self, walk: Walk, columns: Batch, encode: Callable[[Tensor], Tensor]) -> Walk:
        """See `Edit`."""
        shared = Noise(walk.seed, [self.of] * len(walk.ids))
        angle = math.pi / 2 * self.amount
        whole = torch.tensor([i == self.of for i in walk.ids], dtype=torch.float64)
        theirs, own = whole + (1 - whole) * math.cos(angle), (1 - whole) * math.sin(angle)

        def mixed(z: Tensor) -> Tensor:
            return z if self.amount == 1 else expand(theirs, z) * shared(z) + expand(own, z) * z

        eps = mixed(walk.eps)
        return replace(walk, eps=eps, x=walk.at(eps), noise=lambda x: mixed(walk.noise(x)))


Method = Literal["exact", "ddim"]


@dataclass(frozen=True)
class Inversion(Edit):
    """From the noise that the given rows come from: `exact` by the leapfrog, which then leads back, or DDIM's.

    The noise is found under the condition of the samples, or of the other end where that is another.
    """

    method: Method = "exact"

    def __call__(self, walk: Walk, columns: Batch, encode: Callable[[Tensor], Tensor]) -> Walk:
        """See `Edit`."""
        x_0, source = encode(columns[GIVEN]), told(walk.guided, walk.other)
        with torch.no_grad():
            if self.method == "ddim":
                return replace(walk, x=ddim_noise(source, walk.schedule, x_0, walk.times))
            flight = exact_noise(source, walk.schedule, x_0, walk.times)
        return replace(walk, sampler=Leapfrog(flight.v), x=flight.x)


@dataclass(frozen=True)
class Interpolation(Edit):
    """From one end to another: of two given rows in the noise that they come from, of two conditions in between.

    The noise is found by the leapfrog, so that the ends are the rows themselves; what is in between is on the great
    circle. Without given rows all samples have the noise of sample 0, and the sampler is the chosen one.
    """

    def __call__(self, walk: Walk, columns: Batch, encode: Callable[[Tensor], Tensor]) -> Walk:
        """See `Edit`."""
        share = columns[SHARE].to(walk.x.device)
        same = walk.other is walk.condition
        with torch.no_grad():
            between = walk.condition if same else mix(walk.condition, walk.other, share)
            if GIVEN not in columns:
                return Variations(0, 0.0)(replace(walk, condition=between), columns, encode)
            ends = zip((walk.condition, walk.other), (GIVEN, GIVEN + TO), strict=True)
            a, b = (
                exact_noise(told(walk.guided, condition), walk.schedule, encode(columns[name]), walk.times)
                for condition, name in ends
            )
            # the slopes at the noise hardly differ: they are the mean of the data, turned
            u = expand(share, a.v)
            v = (1 - u) * a.v + u * b.v
        return replace(walk, condition=between, sampler=Leapfrog(v), x=slerp(a.x, b.x, share))
