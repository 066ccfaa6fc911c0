"""Slips in schedules, predictions, grids, densities and weightings: each is caught by the contract that is for it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from caught import caught
from torch import Tensor

from diffkit.core.grid import Grid
from diffkit.core.objective import LearnedWeighting, TimeDensity, Weighting
from diffkit.core.prediction import Prediction
from diffkit.core.schedule import Schedule
from diffkit.standard.schedules import Cosine, Flow
from diffkit.testing import check_density, check_grid, check_prediction, check_schedule, check_weighting


@dataclass(frozen=True)
class Given(Schedule, Prediction):  # type: ignore[misc]
    """A schedule or a prediction made of one function."""

    f: Callable[..., tuple[Tensor, Tensor]]

    def __call__(self, *given: Tensor) -> tuple[Tensor, Tensor]:
        return self.f(*given)


@pytest.mark.parametrize(
    ("schedule", "contract", "message"),
    [
        (lambda t: (1 - t, t + 1e-3), "start", r"\(alpha, sigma\) at t = 0 is \(1, 0.001\), not \(1, 0\)"),
        (lambda t: (torch.ones_like(t), t.clamp(max=0.5)), "falls", "log-SNR does not fall from t = 0.5, where it is"),
        (lambda t: (1 + t, t * (1 - t)), "falls", "the log-SNR does not fall from t = "),
        (lambda t: ((1 - t).float(), t.float()), "float64", "alpha is torch.float32, not torch.float64"),
        (lambda t: (1 - 2 * t, t.clone()), "float64", "alpha at t = 0.501 is -0.002, not a finite number of at least"),
        (lambda t: (t.neg_().add_(1), 1 - t), "float64", "t was written into"),
        (lambda t: (1 - t, t * (1 + 1e-6 * torch.rand(t.shape, dtype=t.dtype))), "inverse|rows", "is off by"),
    ],
)
def test_schedule(schedule: Any, contract: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message) as found:
        check_schedule(Given(schedule))
    assert any(f"The contract {name!r}: " in found.value.__notes__[0] for name in contract.split("|"))


def test_a_value_that_can_be_changed_is_refused() -> None:
    @dataclass
    class Soft(Schedule):
        def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
            return 1 - t, t

    caught(lambda: check_schedule(Soft()), "value", "the class Soft is no frozen dataclass: write @dataclass")


def test_a_value_that_holds_a_list_is_refused() -> None:
    @dataclass(frozen=True)
    class Listed(Flow):  # type: ignore[misc]
        levels: Any = None

    caught(lambda: check_schedule(Listed([1.0])), "value", "a field cannot be hashed.*use tuples")


@pytest.mark.parametrize(
    ("prediction", "contract", "message"),
    [
        (lambda a, s: (a, -s), "homogeneous", "c_skip for 0.01 times"),  # v, as if every path were variance-preserving
        (lambda a, s: (1 / a, -s), "homogeneous", "c_out for 0.01 times"),
        (lambda a, s: (1 / a, s - s), "float64", "c_out is 0 at a log-SNR of -20"),
        (lambda a, s: ((1 / a).float(), -s / a), "float64", "c_skip is torch.float32"),
        (lambda a, s: (1 / a.mul_(2), -s / a), "float64", "alpha or sigma was written into"),
    ],
)
def test_prediction(prediction: Any, contract: str, message: str) -> None:
    caught(lambda: check_prediction(Given(prediction)), contract, message)


@dataclass(frozen=True)
class BadGrid(Grid):
    slip: str
    steps: int = 5

    def __call__(self, schedule: Schedule) -> Tensor:
        if self.slip == "end":
            return torch.linspace(0.9, 0.01, self.steps + 1, dtype=torch.float64)
        if self.slip == "start":
            return torch.linspace(1, 0, self.steps + 1, dtype=torch.float64)
        if self.slip == "short":
            return torch.linspace(0.9, 0, self.steps, dtype=torch.float64)
        if self.slip == "dtype":
            return torch.linspace(0.9, 0, self.steps + 1)
        if self.slip == "twice":
            return torch.cat([torch.linspace(0.9, 0.1, self.steps, dtype=torch.float64)[[0, *range(self.steps)]][:-1],
                              torch.zeros(1, dtype=torch.float64)])  # fmt: skip
        ramp = torch.arange(self.steps, dtype=torch.float64) / (self.steps - 1)  # EDM's: 0 / 0 at one step
        return torch.cat([0.9 - 0.8 * ramp, torch.zeros(1, dtype=torch.float64)])


@pytest.mark.parametrize(
    ("slip", "contract", "message"),
    [
        ("end", "ends", "the last time is 0.01, not 0, with 1 steps on Flow"),
        ("start", "starts", "the log-SNR starts at -inf, below -20, with 1 steps on Flow"),
        ("short", "steps", r"the times are of shape \(1,\), not \(2,\), with 1 steps on Flow"),
        ("dtype", "steps", "the times are torch.float32, not torch.float64"),
        ("twice", "falls", "time 1 is 0.9 and the next 0.9 with 2 steps"),
        ("nan", "falls", "time 1 is nan and the next 0 with 1 steps"),
    ],
)
def test_grid(slip: str, contract: str, message: str) -> None:
    caught(lambda: check_grid(BadGrid(slip), [Flow()]), contract, message)


@dataclass(frozen=True)
class BadDensity(TimeDensity):
    slip: str

    def __call__(self, schedule: Schedule, u: Tensor) -> Tensor:
        return {
            "range": lambda: u * 2 - 1,
            "dtype": u.float,
            "write": lambda: u.mul_(0.5),
            "sorted": lambda: u.flip(0) if len(u) > 20 else u,
            "draws": lambda: torch.rand(u.shape, dtype=u.dtype),
        }[self.slip]()


@pytest.mark.parametrize(
    ("slip", "contract", "message"),
    [
        ("range", "range", r"t is -1 for u = 0, not within \[0, 1\], on Cosine"),
        ("dtype", "range", "t is torch.float32, not torch.float64"),
        ("write", "untouched", "u was written into"),
        ("sorted", "rows", "t for some of the u, against t for all, on Cosine.* is off by"),
        ("draws", "rows", "t for some of the u, against t for all, on Cosine.* is off by"),
    ],
)
def test_density(slip: str, contract: str, message: str) -> None:
    caught(lambda: check_density(BadDensity(slip), [Cosine()]), contract, message)


@dataclass(frozen=True)
class BadWeighting(Weighting):
    slip: str

    def __call__(self, logsnr: Tensor, c_out: Tensor) -> Tensor:
        return {
            "sign": lambda: c_out - 2,
            "infinite": lambda: logsnr.exp() / torch.zeros_like(c_out),
            "mean": lambda: logsnr.exp() / logsnr.exp().mean(),
            "write": lambda: logsnr.exp_(),
        }[self.slip]()


@pytest.mark.parametrize(
    ("slip", "contract", "message"),
    [
        ("sign", "factors", "the factor is -1 at a log-SNR of -20 for c_out = 1, not finite and at least 0"),
        ("infinite", "factors", "the factor is inf at a log-SNR of -20"),
        ("mean", "rows", "the factor of a row in another batch, by that of all, for c_out = 1 is off by"),
        ("write", "untouched", "the log-SNR was written into for c_out = 1"),
    ],
)
def test_weighting(slip: str, contract: str, message: str) -> None:
    caught(lambda: check_weighting(BadWeighting(slip)), contract, message)


class Deaf(LearnedWeighting):
    """A weighting whose factor is learned without its penalty."""

    def __init__(self) -> None:
        super().__init__()
        self.level = torch.nn.Parameter(torch.zeros(()))

    def forward(self, logsnr: Tensor, c_out: Tensor) -> Tensor:
        return self.level.detach().exp() * torch.ones_like(logsnr)

    def penalty(self, logsnr: Tensor) -> Tensor:
        return 0 * self.level * logsnr


def test_a_weighting_that_does_not_learn() -> None:
    caught(lambda: check_weighting(Deaf()), "learns", "no gradient reaches 1 of 1 parameters")
