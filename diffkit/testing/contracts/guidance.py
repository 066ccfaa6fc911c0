"""Contracts of guidances."""

from copy import copy
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from diffkit.core.condition import Condition
from diffkit.core.guidance import Branches, Guidance
from diffkit.testing.contracts.hold import hold, table
from diffkit.testing.contracts.require import copied, equal, require, require_close
from diffkit.testing.contracts.value import check_value
from diffkit.testing.contracts.walk import Quarter
from diffkit.testing.given import seeded

TIMES = (0.05, 0.5, 0.95)
"""Where a guided denoiser is asked: near the data, halfway, near the noise."""
ROWS = 3
OFF = {"scale": 1.0, "share": 0.0}
"""The value of a hyperparameter of this name that means off."""


@dataclass(frozen=True)
class Steered:
    """A guidance, around a denoiser that is a formula."""

    guidance: Guidance

    def ask(self, x_t: Tensor, t: float, told: Condition) -> Tensor:
        """The guided answer, of a denoiser that keeps nothing from before."""
        null = Condition(torch.zeros(len(x_t), 2, dtype=x_t.dtype))
        branches = Branches(model, null, Quarter(), {"label": torch.arange(len(x_t)), "text": ["a"] * len(x_t)})
        return self.guidance(branches, branches)(x_t, torch.tensor(t, dtype=torch.float64), told)


def model(x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
    """x_0 that depends on everything."""
    assert condition.vector is not None
    return (x_t + condition.vector).tanh() / (1 + t.item())


def question(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Condition]:
    """x_t and a condition, always the same."""
    with seeded():
        return 2 * torch.randn(ROWS, 2, dtype=dtype), Condition(torch.randn(ROWS, 2, dtype=dtype))


def value(case: Steered) -> None:
    """A guidance that holds no network is a frozen dataclass of plain values, equal to a copy of itself."""
    if not any(isinstance(own, nn.Module) for own in _own(case.guidance).values()):
        check_value(case.guidance, key=False)


def like(case: Steered) -> None:
    """The answer is finite, and of the shape and the dtype of x_t."""
    for dtype in (torch.float32, torch.float64):
        x_t, told = question(dtype)
        for t in TIMES:
            x_0 = case.ask(x_t, t, told)
            at = f"at t = {t:g}"
            shapes = tuple(x_0.shape), tuple(x_t.shape)
            require(shapes[0] == shapes[1], case.guidance, f"the answer is of shape {shapes[0]}, not {shapes[1]}, {at}")
            require(x_0.dtype == dtype, case.guidance, f"the answer is {x_0.dtype} for x_t of {dtype} {at}")
            require(bool(x_0.isfinite().all()), case.guidance, f"the answer is not finite {at}")


def untouched(case: Steered) -> None:
    """Neither x_t nor the condition is written into."""
    given = question()
    before = copied(given)
    case.ask(given[0], 0.5, given[1])
    for name, now, then in zip(("x_t", "the condition"), given, before, strict=True):
        require(equal(now, then), case.guidance, f"{name} was written into")


def repeats(case: Steered) -> None:
    """The same question has the same answer, to the last bit: nothing is kept or drawn."""
    x_t, told = question()
    for t in TIMES:
        first = case.ask(x_t, t, told)
        with seeded(1):
            again = case.ask(x_t.clone(), t, told)
        require_close(case.guidance, f"the same question asked again at t = {t:g}", again, first, 0.0)


def rows(case: Steered) -> None:
    """A row does not depend on the rows beside it."""
    x_t, told = question(torch.float64)
    for t in TIMES:
        together = case.ask(x_t, t, told)
        alone = case.ask(x_t[:1], t, told.map(lambda a: a[:1]))
        require_close(case.guidance, f"a row by itself, against it in a batch of {ROWS}, at t = {t:g}",
                      alone, together[:1], 1e-12)  # fmt: skip


def off(case: Steered) -> None:
    """Its off value, 1 for a `scale` and 0 for a `share`, leaves the denoiser's answer as it is, to the last bit."""
    for name, at in OFF.items():
        if name in _own(case.guidance):
            none = Steered(_changed(case.guidance, name, at))
            x_t, told = question()
            for t in TIMES:
                bare = model(x_t, torch.tensor(t, dtype=torch.float64), told)
                what = f"the answer with {name} = {at:g}, against the bare denoiser's, at t = {t:g}"
                require_close(none.guidance, what, none.ask(x_t, t, told), bare, 0.0)


def _own(guidance: Any) -> dict[str, Any]:
    """What a guidance is made of, by name."""
    names = [field.name for field in fields(guidance)] if is_dataclass(guidance) else list(vars(guidance))
    return {name: getattr(guidance, name) for name in names}


def _changed(guidance: Any, name: str, value: float) -> Any:
    """A copy in which this is another."""
    if is_dataclass(guidance) and not isinstance(guidance, type):
        return replace(guidance, **{name: value})
    other = copy(guidance)
    setattr(other, name, value)
    return other


GUIDANCE = table(value, like, untouched, repeats, rows, off)


def check_guidance(guidance: Guidance) -> None:
    """Hold a guidance against its contracts; raises `AssertionError` with what broke and what was measured."""
    hold(GUIDANCE, Steered(guidance))
