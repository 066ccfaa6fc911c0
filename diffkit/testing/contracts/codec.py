"""Contracts of codecs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from diffkit.core.codec import Codec, LearnedCodec
from diffkit.core.errors import DiffkitError
from diffkit.core.types import Shape
from diffkit.testing.contracts.hold import hold, made, table
from diffkit.testing.contracts.require import require, require_close
from diffkit.testing.given import SHAPES, seeded

ROWS = 3
Make = Callable[..., Codec]


@dataclass(frozen=True)
class Coded:
    """A codec for data of one shape."""

    make: Make
    shape: Shape

    def __str__(self) -> str:
        return f"{type(self.codec).__name__} for {self.shape}"

    def built(self, seed: int) -> Codec:
        """A new one."""
        with seeded(seed):
            codec: Codec = made(self.make, shape=self.shape)
        return codec.eval().requires_grad_(False)

    @cached_property
    def codec(self) -> Codec:
        """The codec."""
        return self.built(0)

    @property
    def x(self) -> Tensor:
        """Standardised data, always the same."""
        with seeded():
            return torch.randn(ROWS, *self.shape)


def shape(case: Coded) -> None:
    """What is encoded and decoded again is finite, and of the data's shape and dtype."""
    x = case.x
    z = case.codec.encode(x)
    require(len(z) == ROWS, case, f"{len(z)} latents for {ROWS} rows")
    require(bool(torch.isfinite(z).all()), case, "a latent is not finite")
    back = case.codec.decode(z)
    said = f"decodes to shape {tuple(back.shape[1:])} what it encoded from {tuple(case.shape)}"
    require(back.shape == x.shape, case, said)
    require(back.dtype == x.dtype, case, f"decodes to {back.dtype} what it encoded from {x.dtype}")
    require(bool(torch.isfinite(back).all()), case, "what it decodes is not finite")


def untouched(case: Coded) -> None:
    """Neither the data nor the latents are written into."""
    x = case.x
    z = case.codec.encode(x)
    kept = z.clone()
    case.codec.decode(z)
    require(bool((x == case.x).all()), case, "the data were written into")
    require(bool((z == kept).all()), case, "the latents were written into")


def repeats(case: Coded) -> None:
    """The same data have the same latents, and these the same data, to the last bit: nothing is drawn or kept."""
    z = case.codec.encode(case.x)
    back = case.codec.decode(z)
    with seeded(1):
        require_close(case, "the latents of the same data, encoded again,", case.codec.encode(case.x), z, 0.0)
        require_close(case, "the data of the same latents, decoded again,", case.codec.decode(z), back, 0.0)


def rows(case: Coded) -> None:
    """A row does not depend on the rows beside it."""
    z = case.codec.encode(case.x)
    back = case.codec.decode(z)
    for i in range(ROWS):
        at = f"of row {i} by itself, against it in a batch of {ROWS},"
        require_close(case, f"the latent {at}", case.codec.encode(case.x[i : i + 1]), z[i : i + 1], 1e-5)
        require_close(case, f"what is decoded {at}", case.codec.decode(z[i : i + 1]), back[i : i + 1], 1e-5)


def state(case: Coded) -> None:
    """Another one that is given its `state_dict` encodes and decodes the same."""
    other = case.built(1)
    other.load_state_dict(case.codec.state_dict())
    z = case.codec.encode(case.x)
    require_close(case, "the latents of another one with its state_dict", other.encode(case.x), z, 1e-6)
    require_close(case, "the data of another one with its state_dict", other.decode(z), case.codec.decode(z), 1e-6)


def learns(case: Coded) -> None:
    """One that learns has a log-variance for each mean, and what it gives back has a gradient for each parameter."""
    codec = case.built(0).requires_grad_(True)
    if not isinstance(codec, LearnedCodec):
        return
    mean, log_variance = codec.posterior(case.x)
    said = f"gives log-variances of shape {tuple(log_variance.shape[1:])} for means of shape {tuple(mean.shape[1:])}"
    require(mean.shape == log_variance.shape, case, said)
    with seeded():
        back = codec.generate(mean + (log_variance / 2).exp() * torch.randn_like(mean))
    named = dict(codec.named_parameters())
    grads = torch.autograd.grad((back - case.x).square().sum(), list(named.values()), allow_unused=True)
    lost = [name for name, g in zip(named, grads, strict=True) if g is None or not bool(g.any())]
    require(not lost, case, f"no gradient reaches {', '.join(lost[:5])}")


CODEC = table(shape, untouched, repeats, rows, state, learns)


def codecs(make: Make, shapes: Sequence[Shape]) -> list[Coded]:
    """One for each shape that it does not refuse by a `DiffkitError`; raises the last, if all are."""
    cases, refusal = list[Coded](), None
    for of in shapes:
        case = Coded(make, of)
        try:
            case.codec  # noqa: B018  # builds it
            cases.append(case)
        except DiffkitError as error:
            refusal = error
    if refusal is not None and not cases:
        raise refusal
    return cases


def check_codec(make: Make, shapes: Sequence[Shape] = SHAPES) -> None:
    """Hold a codec against its contracts, for each shape of the data that it does not refuse.

    `make` is its class, or a function that builds one; it is given `shape` by name, if it asks for it. Raises
    `AssertionError` with what broke and what was measured, and the codec's own `DiffkitError` if it refuses everything.
    """
    hold(CODEC, *codecs(make, shapes))
