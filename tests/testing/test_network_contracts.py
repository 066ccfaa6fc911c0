"""Slips in networks, conditioners, codecs and guidances: each is caught by the contract that is for it."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import torch
from caught import caught
from torch import Tensor, nn
from toys import Vector, Words

from diffkit import load_model
from diffkit.core.codec import Codec
from diffkit.core.condition import Condition, ConditionSpec
from diffkit.core.conditioner import Conditioner
from diffkit.core.denoiser import DenoiserNetwork
from diffkit.core.errors import DiffkitError
from diffkit.core.guidance import Branches, Denoise, Guidance
from diffkit.standard.codecs.vae import Vae
from diffkit.standard.denoisers.dit import DiT
from diffkit.testing import Unproven, check_codec, check_conditioner, check_denoiser, check_guidance

TOLD = [ConditionSpec(vector=3)]


class Network(DenoiserNetwork):
    """A linear network of rows of three, with one slip."""

    def __init__(self, shape: Any, condition: ConditionSpec, slip: str = "") -> None:
        super().__init__()
        if tuple(shape) != (3,):
            raise DiffkitError(f"is for rows of three, not {shape}")
        self.slip, self.linear, self.level = slip, nn.Linear(3, 3), nn.Linear(1, 3)
        self.unused = nn.Linear(1, 1) if slip == "unused" else None
        self.kept = torch.randn(3) if slip == "state" else 0.0
        self.asked = 0

    def forward(self, x: Tensor, logsnr: Tensor, condition: Condition) -> Tensor:
        self.asked += 1
        h = self.linear(x.clamp_(-1, 1) if self.slip == "write" else x) + self.kept
        h = h + (0 if self.slip == "level" else self.level(logsnr[:, None]))
        if condition.vector is not None and self.slip != "condition":
            h = h + condition.vector
        if condition.sequence is not None:
            h = h + condition.sequence.mean((1, 2))[:, None]
        h = h + self.asked if self.slip == "kept" else h + torch.rand(()) if self.slip == "draws" else h
        return h - h.mean(0) if self.slip == "rows" else h.double() if self.slip == "dtype" else h


def test_a_network_without_a_slip_passes() -> None:
    check_denoiser(Network, [(3,)], TOLD)


@pytest.mark.parametrize(
    ("slip", "contract", "message"),
    [
        ("dtype", "shape", "the output is torch.float64 for x of torch.float32"),
        ("write", "untouched", "x was written into"),
        ("kept", "repeats", "the same question asked again is off by"),
        ("draws", "repeats", "the same question asked again is off by"),
        ("rows", "rows", "row 0 by itself, against it in a batch of 4, is off by"),
        ("level", "inputs", "the log-SNR does not matter: the output moved by 0 when"),
        ("condition", "condition", "the condition's vector does not matter"),
        ("unused", "gradients", "no gradient reaches unused.weight, unused.bias, 2 of 6 parameters"),
        ("state", "state", "the answer of another one with its state_dict is off by"),
    ],
)
def test_denoiser(slip: str, contract: str, message: str) -> None:
    setting = r"Network for \(3,\) with vector of width 3: "
    caught(lambda: check_denoiser(partial(Network, slip=slip), [(2,), (3,)], TOLD), contract, f"{setting}.*{message}")


def test_a_network_that_looks_at_padding() -> None:
    message = "the answer with 1000 in the place of the padding is off by"
    caught(lambda: check_denoiser(Network, [(3,)], [ConditionSpec(sequence=4)]), "padding", message)


class Points(DenoiserNetwork):
    """Points that see their mean, with one slip."""

    equivariant = True

    def __init__(self, shape: Any, condition: ConditionSpec, slip: str = "") -> None:
        super().__init__()
        self.slip, self.linear, self.level = slip, nn.Linear(2 * shape[0], shape[0]), nn.Linear(1, shape[0])

    def forward(self, x: Tensor, logsnr: Tensor, condition: Condition) -> Tensor:
        there = torch.ones_like(x[:, :1]) if condition.present is None else condition.present[:, None].to(x)
        there = torch.ones_like(there) if self.slip == "mask" else there
        seen = x * there
        mean = seen.sum(-1, keepdim=True) / (x.shape[-1] if self.slip == "share" else there.sum(-1, keepdim=True))
        mean = mean + torch.arange(x.shape[-1]) if self.slip == "place" else mean.expand_as(x)
        answer: Tensor = self.linear(torch.cat([x, mean], 1).mT).mT + self.level(logsnr[:, None])[..., None]
        return answer


class Ordered(DiT):
    """A transformer that knows where a point stands, and says that it does not."""

    equivariant = True


def test_a_network_of_sets_of_points() -> None:
    check_denoiser(Points, [(2, 4)], [ConditionSpec()])


@pytest.mark.parametrize(
    ("make", "contract", "message"),
    [
        (partial(Points, slip="place"), "points", "the answer for the points in another order is off by"),
        (partial(Points, slip="mask"), "absent", "row 1 with 1 points of 1000 that are not present, .* is off by"),
        (partial(Points, slip="share"), "absent", "row 1 with 1 points of 1000 that are not present, .* is off by"),
        (partial(Ordered, patch=1, width=8, depth=1, heads=2), "points", "points in another order is off by"),
    ],
)
def test_a_network_that_is_not_equivariant(make: Any, contract: str, message: str) -> None:
    caught(lambda: check_denoiser(make, [(2, 4)], [ConditionSpec()]), contract, message)


def test_a_network_that_refuses_everything_says_why() -> None:
    with pytest.raises(DiffkitError, match=r"is for rows of three, not \(2,\)"):
        check_denoiser(Network, [(2,)])


class BadVector(Vector):
    """The label in a vector, with one slip."""

    def __init__(self, slip: str) -> None:
        super().__init__(2)
        self.slip, self.count = slip, 0
        self.table = torch.randn(11, 2)

    def forward(self, batch: Any) -> Condition:
        label = batch["label"]
        self.count += 1
        vector = {
            "width": lambda: torch.ones(len(label), 3),
            "deaf": lambda: torch.ones(len(label), 2),
            "rows": lambda: (label - label.float().mean())[:, None].expand(-1, 2),
            "kept": lambda: (label + self.count).float()[:, None].expand(-1, 2),
            "write": lambda: label.add_(1).float()[:, None].expand(-1, 2),
            "state": lambda: self.table[label],
        }[self.slip]()
        return Condition(vector=vector)


@pytest.mark.parametrize(
    ("slip", "contract", "message"),
    [
        ("width", "slots", "the width of the slot vector is 3, its spec declares 2"),
        ("write", "untouched", "the batch was written into"),
        ("kept", "repeats", "the same rows encoded again have another condition"),
        ("rows", "rows", "the vector of row 0 by itself, against it in a batch of 4, is off by"),
        ("deaf", "tells", r"gives tensor\(3\) and tensor\(0\) the same condition"),
        ("state", "state", "another one with its state_dict encodes the same rows differently"),
    ],
)
def test_conditioner(slip: str, contract: str, message: str) -> None:
    caught(lambda: check_conditioner(partial(BadVector, slip)), contract, f"BadVector: {message}")


def test_conditioners_without_a_slip_pass() -> None:
    check_conditioner(lambda: Vector(2))
    check_conditioner(Words, {"text": ["a bc", "d"]})
    with pytest.raises(Unproven, match="needs the column 'text', and what it is tried with has label"):
        check_conditioner(Words, {"label": torch.tensor([1, 2])})


class Places(Conditioner):
    """The label is the number of points; with one slip."""

    key = "label"

    def __init__(self, slip: str = "") -> None:
        super().__init__()
        self.slip = slip

    @property
    def spec(self) -> ConditionSpec:
        return ConditionSpec(vector=1, present=self.slip != "spec")

    def forward(self, batch: Any) -> Condition:
        label = batch["label"][:, None]
        there = torch.arange(4 if self.slip == "points" else 5) < label - int(self.slip == "none")
        return Condition(label.float(), present=there)


@pytest.mark.parametrize(
    ("slip", "message"),
    [
        ("spec", "its spec says present=False, and present is Tensor"),
        ("points", r"present is torch.bool of \(2, 4\), not \(2, 5\)"),
        ("none", "a row has no places"),
    ],
)
def test_places(slip: str, message: str) -> None:
    batch = {"label": torch.tensor([1, 3])}
    check_conditioner(Places, batch, (3, 5))
    caught(lambda: check_conditioner(partial(Places, slip), batch, (3, 5)), "places", f"Places: {message}")


class BadCodec(Codec):
    def __init__(self, slip: str = "") -> None:
        super().__init__()
        self.slip = slip
        self.kept = torch.randn(1) if slip == "state" else 2.0

    def encode(self, x: Tensor) -> Tensor:
        noisy = x + torch.randn_like(x)
        return {"rows": x - x.mean(0), "draws": noisy}.get(self.slip, x * self.kept)

    def decode(self, z: Tensor) -> Tensor:
        if self.slip == "write":
            return z.div_(2)
        return {"shape": z[:, :1], "zero": z / 0, "dtype": z.double()}.get(self.slip, z / 2)


@pytest.mark.parametrize(
    ("slip", "contract", "message"),
    [
        ("shape", "shape", r"BadCodec for \(3, 4\): decodes to shape \(1, 4\) what it encoded from \(3, 4\)"),
        ("zero", "shape", "what it decodes is not finite"),
        ("dtype", "shape", "decodes to torch.float64 what it encoded from torch.float32"),
        ("write", "untouched", "the latents were written into"),
        ("draws", "repeats", "the latents of the same data, encoded again, is off by"),
        ("rows", "rows", "the latent of row 0 by itself, against it in a batch of 3, is off by"),
        ("state", "state", "the latents of another one with its state_dict is off by"),
    ],
)
def test_codec(slip: str, contract: str, message: str) -> None:
    caught(lambda: check_codec(partial(BadCodec, slip), [(3, 4)]), contract, message)


class BadVae(Vae):
    """An autoencoder, with one slip."""

    def __init__(self, slip: str, shape: Any) -> None:
        super().__init__(shape, load_model, width=8, channels=2)
        self.slip, self.unused = slip, nn.Parameter(torch.ones(1))

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = super().posterior(x)
        return mean, log_variance[:, :1] if self.slip == "variance" else log_variance


@pytest.mark.parametrize(
    ("slip", "message"),
    [
        ("variance", r"gives log-variances of shape \(1, 4, 4\) for means of shape \(2, 4, 4\)"),
        ("unused", "no gradient reaches unused"),
    ],
)
def test_a_codec_that_learns(slip: str, message: str) -> None:
    caught(lambda: check_codec(partial(BadVae, slip), [(1, 8, 8)]), "learns", message)


def test_a_codec_without_a_slip_passes() -> None:
    check_codec(BadCodec)


@dataclass(frozen=True)
class BadGuidance(Guidance):
    slip: str = ""
    scale: float = 2.0

    def __call__(self, denoise: Denoise, branches: Branches) -> Denoise:
        if self.slip == "null":  # 0 would be off
            return lambda x_t, t, condition: (
                denoise(x_t, t, condition) + self.scale * (branches.both(x_t, t, condition)[0] - x_t)
            )

        def guided(x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
            x_0, null = branches.both(x_t.mul_(2) if self.slip == "write" else x_t, t, condition)
            if self.slip == "rows":
                x_0 = x_0 / x_0.norm()
            if self.slip == "draws":
                x_0 = x_0 + torch.rand(())
            answer = null + self.scale * (x_0 - null)
            return answer.double() if self.slip == "dtype" else answer

        return denoise if self.scale == 1 and self.slip != "late" else guided


def test_a_guidance_without_a_slip_passes() -> None:
    check_guidance(BadGuidance())


class BadNetworkGuidance(Guidance):
    """One that holds a network, so that it is no dataclass."""

    def __init__(self, slip: str = "") -> None:
        self.slip, self.scale, self.network = slip, 2.0, torch.nn.Linear(2, 2).double()

    def __call__(self, denoise: Denoise, branches: Branches) -> Denoise:
        extra = self.scale - 1 + (self.slip == "off")
        return lambda x_t, t, c: denoise(x_t, t, c) + extra * self.network(x_t.double()).detach().to(x_t)


def test_a_guidance_with_a_network_is_held_against_the_same_contracts() -> None:
    check_guidance(BadNetworkGuidance())
    caught(lambda: check_guidance(BadNetworkGuidance("off")), "off", "the answer with scale = 1, against the bare")


@pytest.mark.parametrize(
    ("slip", "contract", "message"),
    [
        ("dtype", "like", "the answer is torch.float64 for x_t of torch.float32 at t = 0.05"),
        ("write", "untouched", "x_t was written into"),
        ("draws", "repeats", "the same question asked again at t = 0.05 is off by"),
        ("rows", "rows", r"a row by itself, against it in a batch of 3, at t = 0.05 is off by"),
        ("null", "off", "the answer with scale = 1, against the bare denoiser's, at t = 0.05 is off by"),
        ("late", "off", "the answer with scale = 1, against the bare denoiser's, at t = .* is off by"),
    ],
)
def test_guidance(slip: str, contract: str, message: str) -> None:
    caught(lambda: check_guidance(BadGuidance(slip)), contract, message)
