"""Contracts of denoiser networks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from operator import itemgetter

import torch
from torch import Tensor

from diffkit.core.condition import Condition, ConditionSpec
from diffkit.core.denoiser import DenoiserNetwork
from diffkit.core.errors import DiffkitError
from diffkit.core.types import Shape
from diffkit.testing.contracts.hold import hold, made, table
from diffkit.testing.contracts.require import equal, require, require_close
from diffkit.testing.given import CONDITIONS, SHAPES, schedules, seeded

ROWS, TOKENS = 4, 3
SLOTS = ("vector", "sequence", "spatial")
Make = Callable[..., DenoiserNetwork]


@dataclass(frozen=True)
class Network:
    """A network for one shape and one kind of condition, and what it is asked."""

    make: Make
    shape: Shape
    condition: ConditionSpec

    def __str__(self) -> str:
        slots = [f"{slot} of width {width}" for slot in SLOTS if (width := getattr(self.condition, slot)) is not None]
        return f"{type(self.network).__name__} for {self.shape} with {' and '.join(slots) or 'no condition'}"

    def built(self) -> DenoiserNetwork:
        """Its parameters moved a little at random, since many networks start with an output of zero."""
        with seeded():
            given = {"shape": self.shape, "condition": self.condition, "schedule": schedules()[0]}
            network: DenoiserNetwork = made(self.make, **given)
            with torch.no_grad():
                for parameter in network.parameters():
                    parameter.add_(torch.randn_like(parameter), alpha=0.1)
        return network.eval()

    @cached_property
    def network(self) -> DenoiserNetwork:
        """The network."""
        return self.built()

    @cached_property
    def asked(self) -> tuple[Tensor, Tensor, Condition]:
        """What it is asked."""
        return self.question()

    def question(self) -> tuple[Tensor, Tensor, Condition]:
        """Four rows from almost no signal to almost no noise; the last token of the last row is padding."""
        spec = self.condition
        with seeded(1):
            mask = torch.arange(ROWS * TOKENS).reshape(ROWS, TOKENS) < ROWS * TOKENS - 1
            told = Condition(
                None if spec.vector is None else torch.randn(ROWS, spec.vector),
                None if spec.sequence is None else torch.randn(ROWS, TOKENS, spec.sequence),
                None if spec.sequence is None else mask,
                None if spec.spatial is None else torch.randn(ROWS, spec.spatial, *self.shape[1:]),
            )
            return torch.randn(ROWS, *self.shape), torch.linspace(-20, 20, ROWS), told

    @cached_property
    def answer(self) -> Tensor:
        """What it answers."""
        answer: Tensor = self.network(*self.asked)
        return answer


def shape(case: Network) -> None:
    """The output is finite, and of the shape and the dtype of x."""
    x, out = case.asked[0], case.answer
    require(out.shape == x.shape, case, f"the output is of shape {tuple(out.shape)} for x of {tuple(x.shape)}")
    require(out.dtype == x.dtype, case, f"the output is {out.dtype} for x of {x.dtype}")
    require(bool(torch.isfinite(out).all()), case, "the output is not finite")


def untouched(case: Network) -> None:
    """Neither x, nor the log-SNR, nor the condition is written into."""
    asked, before = case.question(), case.question()
    case.network(*asked)
    for name, now, then in zip(("x", "the log-SNR", "the condition"), asked, before, strict=True):
        require(equal(now, then), case, f"{name} was written into")


def repeats(case: Network) -> None:
    """In evaluation the same question has the same answer, to the last bit: nothing is kept or drawn."""
    with seeded(2):
        again = case.network(*case.asked)
    require_close(case, "the same question asked again", again, case.answer, 0.0)


def rows(case: Network) -> None:
    """A row does not depend on the rows beside it."""
    (x, logsnr, told), out = case.asked, case.answer
    for i in range(ROWS):
        one = slice(i, i + 1)
        alone = case.network(x[one], logsnr[one], told.map(itemgetter(one)))
        require_close(case, f"row {i} by itself, against it in a batch of {ROWS},", alone, out[one], 1e-4)


def inputs(case: Network) -> None:
    """The output depends on x, and on the log-SNR of its row."""
    x, logsnr, told = case.asked
    _moves(case, "x", "half of itself", case.network(1.5 * x, logsnr, told))
    _moves(case, "the log-SNR", "5", case.network(x, logsnr - 5, told))


def condition(case: Network) -> None:
    """The output depends on every slot of the condition that the network is built for."""
    x, logsnr, told = case.asked
    for slot in SLOTS:
        if getattr(case.condition, slot) is not None:
            other = replace(told, **{slot: getattr(told, slot) + 1})
            _moves(case, f"the condition's {slot}", "1 in every entry", case.network(x, logsnr, other))


def _moves(case: Network, what: str, by: str, other: Tensor) -> None:
    moved = (other - case.answer).abs().flatten(1).amax(1)
    least = f"the output moved by {moved.min():.2g} when {what} did by {by}"
    require(bool((moved > 1e-7).all()), case, f"{what} does not matter: {least}")


def padding(case: Network) -> None:
    """What stands where a sequence's mask is False does not matter."""
    x, logsnr, told = case.asked
    if told.sequence is not None and told.mask is not None:
        other = replace(told, sequence=torch.where(told.mask[..., None], told.sequence, 1e3))
        require_close(case, "the answer with 1000 in the place of the padding", case.network(x, logsnr, other),
                      case.answer, 1e-5)  # fmt: skip


def points(case: Network) -> None:
    """In a set of points their order does not matter."""
    if case.network.equivariant:
        x, logsnr, told = case.asked
        with seeded(4):
            places = torch.randperm(x.shape[-1])
        told = replace(told, spatial=None if told.spatial is None else told.spatial[..., places])
        other = case.network(x[..., places], logsnr, told)
        require_close(case, "the answer for the points in another order", other, case.answer[..., places], 1e-4)


def absent(case: Network) -> None:
    """In a set, points that are not present are as if they had not been given."""
    if case.network.equivariant:
        x, logsnr, told = case.asked
        there = torch.arange(x.shape[-1]) < x.shape[-1] - torch.arange(ROWS)[:, None]
        given = case.network(x.where(there[:, None], 1e3), logsnr, replace(told, present=there))
        for i in range(ROWS):
            one, left = slice(i, i + 1), slice(x.shape[-1] - i)
            row = told.map(itemgetter(one))
            row = replace(row, spatial=None if row.spatial is None else row.spatial[..., left])
            alone = case.network(x[one, :, left], logsnr[one], row)
            message = f"the answer for row {i} with {i} points of 1000 that are not present, against it without them,"
            require_close(case, message, given[one, :, left], alone, 1e-4)


def gradients(case: Network) -> None:
    """A gradient reaches every parameter that asks for one."""
    named = {name: p for name, p in case.network.named_parameters() if p.requires_grad}
    grads = torch.autograd.grad(case.network(*case.asked).square().sum(), [*named.values()], allow_unused=True)
    lost = [name for name, g in zip(named, grads, strict=True) if g is None or not bool(g.any())]
    require(not lost, case, f"no gradient reaches {', '.join(lost[:5])}, {len(lost)} of {len(named)} parameters")


def state(case: Network) -> None:
    """Another one that is given its `state_dict` gives the same answers: everything learned is in it."""
    with seeded(3):
        given = {"shape": case.shape, "condition": case.condition, "schedule": schedules()[0]}
        other: DenoiserNetwork = made(case.make, **given).eval()
    other.load_state_dict(case.network.state_dict())
    require_close(case, "the answer of another one with its state_dict", other(*case.asked), case.answer, 1e-6)


DENOISER = table(shape, untouched, repeats, rows, inputs, condition, padding, points, absent, gradients, state)


def networks(make: Make, shapes: Sequence[Shape], conditions: Sequence[ConditionSpec]) -> list[Network]:
    """One for each shape and condition that it does not refuse by a `DiffkitError`; raises the last, if all are."""
    cases, refusal = list[Network](), None
    for spec in conditions:
        for of in shapes:
            case = Network(make, of, spec)
            try:
                case.network  # noqa: B018  # builds it
                cases.append(case)
            except DiffkitError as error:
                refusal = error
    if refusal is not None and not cases:
        raise refusal
    return cases


def check_denoiser(
    make: Make, shapes: Sequence[Shape] = SHAPES, conditions: Sequence[ConditionSpec] = CONDITIONS
) -> None:
    """Hold a network against its contracts, for each shape and condition that it does not refuse.

    `make` is its class, or a function that builds one: `functools.partial(MyNetwork, width=8)`. It is given `shape` and
    `condition` by name, as by a run. Raises `AssertionError` with what broke and what was measured, and the network's
    own `DiffkitError` if it refuses everything.
    """
    hold(DENOISER, *networks(make, shapes, conditions))
