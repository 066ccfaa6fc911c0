"""Guidance: wraps a denoiser into a denoiser, so that samplers never hear of it."""

from abc import ABC, abstractmethod
from collections.abc import Callable

from torch import Tensor

from diffkit.core.condition import Condition, stack
from diffkit.core.variance import WithVariance

Denoise = Callable[[Tensor, Tensor, Condition], Tensor]
"""`(x_t, t, condition) -> x_0`, with `t` of shape () and the others of b rows."""


class Branches:
    """The bare model's two answers for one x_t, with the condition and with the null in its place.

    The last answers are kept for as long as `x_t`, `t` and the condition are the same objects, so that several
    guidances in a list share one pass of the network. So is v, where the model has learned it.
    """

    def __init__(self, denoise: Denoise, null: Condition) -> None:
        self._denoise, self._null = denoise, null
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

        One pass suffices where the condition is the null itself: then both are the same tensor.
        """
        known = self._known(x_t, t, condition)
        if known is not None and known[1] is not None:
            return known[0], known[1]
        if condition is self._null:
            x_0 = self(x_t, t, condition)
            return x_0, x_0
        answers, v = self._ask(x_t.repeat(2, *[1] * (x_t.ndim - 1)), t, stack([condition, self._null]))
        x_0, null = answers.chunk(2)
        self._asked, self._answers = (x_t, t, condition), (x_0, null)
        self._v = None if v is None else v[: len(x_t)]
        return x_0, null

    def v(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """The v given the condition, which guidance leaves alone: no pass after one of the others."""
        self(x_t, t, condition)
        assert self._v is not None  # the bare model gives it
        return self._v


class Guidance(ABC):
    """One way of steering, as a part of an ordered list: each is given what the one before it made."""

    @abstractmethod
    def __call__(self, denoise: Denoise, branches: Branches) -> Denoise:
        """The guided denoiser, from the one guided so far and the bare model's branches.

        A value that means "off" returns `denoise` itself.
        """


def guide(guidances: "list[Guidance]", denoise: Denoise, null: Condition) -> Denoise:
    """The denoiser guided by each of the list in turn.

    Where the bare one gives v, so does this: that of the condition's branch. (GLIDE does the same; Nichol et al. 2021.)
    """
    branches = Branches(denoise, null)
    guided: Denoise = branches
    for guidance in guidances:
        guided = guidance(guided, branches)
    steered = guided
    if isinstance(denoise, WithVariance):
        return WithVariance(lambda x_t, t, condition: (steered(x_t, t, condition), branches.v(x_t, t, condition)))
    return steered


def told(denoise: Denoise, condition: Condition) -> Callable[[Tensor, Tensor], Tensor]:
    """The denoiser of one condition, as a sampler asks for it: `(x_t, t) -> x_0`, with v where `denoise` gives it."""
    if isinstance(denoise, WithVariance):
        return WithVariance(lambda x_t, t: denoise.answer(x_t, t, condition))
    return lambda x_t, t: denoise(x_t, t, condition)
