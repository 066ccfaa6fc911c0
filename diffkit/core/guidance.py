"""Guidance: wraps a denoiser into a denoiser, so that samplers never hear of it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import ClassVar

import torch
from numpy import interp
from torch import Tensor

from diffkit.core.condition import Condition, stack
from diffkit.core.errors import DiffkitError
from diffkit.core.schedule import Schedule
from diffkit.core.types import Batch
from diffkit.core.variance import WithVariance

Denoise = Callable[[Tensor, Tensor, Condition], Tensor]
"""`(x_t, t, condition) -> x_0`, with `t` of shape () and the others of b rows."""
Function = Callable[[Tensor], Tensor]
"""Another network's answer for x_t, (b, *shape): like x_t."""
Ramp = tuple[tuple[float, float], ...]
"""A scale over log-SNR: points (log-SNR, share), the log-SNR rising, with straight lines between them; none is 1."""


def _ask(name: str, network: Function, x_t: Tensor) -> Tensor:
    return network(x_t)


class Branches:
    """What guidances are made from: the bare model's answers for one x_t, its path, and what was asked for.

    The last answers are kept for as long as `x_t`, `t` and the condition are the same objects, so that several
    guidances in a list share one pass of the network. So is v, where the model has learned it. `other` calls another
    network by its name: whoever counts calls puts something in its place.
    """

    def __init__(
        self,
        denoise: Denoise,
        null: Condition,
        schedule: Schedule,
        columns: Batch | None = None,
        other: Callable[[str, Function, Tensor], Tensor] = _ask,
    ) -> None:
        self.schedule = schedule
        """The path that x_t is on."""
        self.columns: Batch = columns or {}
        """What each row was asked to be, before any encoding: `"label"` (b,), `"text"`."""
        self._denoise, self._null, self._other, self._apart = denoise, null, other, False
        self._asked: tuple[Tensor, Tensor, Condition] | None = None
        self._answers: tuple[Tensor, Tensor | None] | None = None
        self._v: Tensor | None = None

    def _ask(self, x_t: Tensor, t: Tensor, condition: Condition) -> tuple[Tensor, Tensor | None]:
        denoise = self._denoise
        return (
            denoise.answer(x_t, t, condition)
            if isinstance(denoise, WithVariance)
            else (denoise(x_t, t, condition), None)
        )

    def _known(self, *asked: Tensor | Condition) -> tuple[Tensor, Tensor | None] | None:
        same = self._asked is not None and all(a is b for a, b in zip(self._asked, asked, strict=True))
        return self._answers if same else None

    def __call__(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """x_0 given the condition: one pass, or none if it was just asked for."""
        known = self._known(x_t, t, condition)
        if known is not None:
            return known[0]
        x_0, self._v = self._ask(x_t, t, condition)
        self._asked, self._answers = (x_t, t, condition), (x_0, None)
        return x_0

    def both(self, x_t: Tensor, t: Tensor, condition: Condition) -> tuple[Tensor, Tensor]:
        """x_0 given the condition and x_0 given the null (or the negative condition): one pass of twice the rows.

        One pass suffices where the condition is the null itself: then both are the same tensor. What was asked before
        is not asked again.
        """
        known = self._known(x_t, t, condition)
        if known is not None and known[1] is not None:
            return known[0], known[1]
        if condition is self._null:
            x_0 = self(x_t, t, condition)
            return x_0, x_0
        if known is not None:
            x_0, (null, _) = known[0], self._ask(x_t, t, self._instead(condition))
        else:
            x_0, null, self._v = self._pair(x_t, t, condition)
        self._asked, self._answers = (x_t, t, condition), (x_0, null)
        return x_0, null

    def _pair(self, x_t: Tensor, t: Tensor, condition: Condition) -> tuple[Tensor, Tensor, Tensor | None]:
        """Both answers from one pass, or from two from then on, once the device has no memory for one."""
        if not self._apart:
            try:
                answers, v = self._ask(
                    x_t.repeat(2, *[1] * (x_t.ndim - 1)), t, stack([condition, self._instead(condition)])
                )
                x_0, null = answers.chunk(2)
                return x_0, null, None if v is None else v[: len(x_t)]
            except torch.OutOfMemoryError:
                self._apart = True
        null, _ = self._ask(x_t, t, self._instead(condition))
        x_0, v = self._ask(x_t, t, condition)
        return x_0, null, v

    def _instead(self, condition: Condition) -> Condition:
        """The null, or the negative condition, for the places that the condition has."""
        return self._null if condition.present is None else replace(self._null, present=condition.present)

    @property
    def gives_v(self) -> bool:
        """Whether the bare model has learned the reverse variance."""
        return isinstance(self._denoise, WithVariance)

    def v(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """The v given the condition, which guidance leaves alone: no pass after one of the others."""
        self(x_t, t, condition)
        assert self._v is not None  # the bare model gives it
        return self._v

    def other(self, name: str, network: Function, x_t: Tensor) -> Tensor:
        """What another network answers for `x_t`: like x_t. `name` is what its calls are counted under."""
        return self._other(name, network, x_t)

    def gradient(self, name: str, f: Callable[[Tensor], Tensor], x_t: Tensor) -> Tensor:
        """The gradient of each row's f (b,) with respect to its x_t; one call of the network that f asks."""

        def slope(x_t: Tensor) -> Tensor:
            with torch.enable_grad():
                x = x_t.detach().requires_grad_()
                return torch.autograd.grad(f(x).sum(), x)[0]

        return self._other(name, slope, x_t)

    def gradient_through(
        self, name: str, f: Callable[[Tensor], Tensor], x_t: Tensor, t: Tensor, condition: Condition
    ) -> Tensor:
        r"""The gradient of each row's f (b,) of its x_0 with respect to its x_t: through the bare model.

        $$ \nabla_{x_t} f(\hat x_0(x_t)) = (\partial \hat x_0 / \partial x_t)^\top \nabla f(\hat x_0) $$

        One pass of the model, which keeps its activations for as long as this takes; whoever asks for its x_0 after
        this gets it from the same pass. And one call of the network that f asks.
        """
        known = self._known(x_t, t, condition)
        with torch.enable_grad():
            x = x_t.detach().requires_grad_()
            x_0, v = self._ask(x, t, condition)
        slope = torch.autograd.grad(x_0, x, self.gradient(name, f, x_0.detach()))[0]
        self._asked, self._v = (x_t, t, condition), None if v is None else v.detach()
        self._answers = (x_0.detach(), None if known is None else known[1])
        return slope


class Guidance(ABC):
    """One way of steering, as a part of an ordered list: each is given what the one before it made."""

    reads: ClassVar[tuple[str, ...]] = ()
    """The columns that each row must have been asked with, such as `"label"`, beside those that the model reads."""

    @abstractmethod
    def __call__(self, denoise: Denoise, branches: Branches) -> Denoise:
        """The guided denoiser, from the one guided so far and the bare model's branches.

        A value that means "off" returns `denoise` itself.
        """


def strength(scale: float, ramp: Ramp, schedule: Schedule, t: Tensor) -> float:
    """How far a guidance of this `scale` steers at time t: (scale - 1) times the ramp's share there.

    Beyond its ends a ramp keeps its first and its last share.
    """
    if not ramp:
        return scale - 1
    places, shares = zip(*ramp, strict=True)
    return (scale - 1) * float(interp(schedule.logsnr(t).item(), places, shares))


def check_ramp(ramp: Ramp) -> None:
    """Raise `DiffkitError` unless the log-SNRs of a ramp rise."""
    places = [place for place, _ in ramp]
    if places != sorted(set(places)):
        raise DiffkitError(f"ramp={[list(p) for p in ramp]}: give points [log-SNR, share] whose log-SNRs rise")


def guide(guidances: Sequence[Guidance], branches: Branches) -> Denoise:
    """The bare denoiser guided by each of the list in turn.

    Where the bare one gives v, so does this: that of the condition's branch. (GLIDE does the same; Nichol et al. 2021.)
    """
    guided: Denoise = branches
    for guidance in guidances:
        guided = guidance(guided, branches)
    steered = guided
    if branches.gives_v:
        return WithVariance(lambda x_t, t, condition: (steered(x_t, t, condition), branches.v(x_t, t, condition)))
    return steered


def told(denoise: Denoise, condition: Condition) -> Callable[[Tensor, Tensor], Tensor]:
    """The denoiser of one condition, as a sampler asks for it: `(x_t, t) -> x_0`, with v where `denoise` gives it."""
    if isinstance(denoise, WithVariance):
        return WithVariance(lambda x_t, t: denoise.answer(x_t, t, condition))
    return lambda x_t, t: denoise(x_t, t, condition)
