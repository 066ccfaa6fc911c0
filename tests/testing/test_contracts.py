"""The contracts catch what they are for: each broken part here is refused with a sentence that says what is wrong."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from toys import Vector, Words

from diffkit.core.codec import Codec
from diffkit.core.condition import Condition, ConditionSpec
from diffkit.core.data import Data, DataSpec
from diffkit.core.denoiser import DenoiserNetwork
from diffkit.core.grid import Grid
from diffkit.core.guidance import Branches, Denoise, Guidance
from diffkit.core.metric import SampleMetric
from diffkit.core.objective import TimeDensity, Weighting
from diffkit.core.prediction import Prediction
from diffkit.core.sampler import Sampler, State
from diffkit.core.schedule import Schedule
from diffkit.core.types import Batch
from diffkit.standard.samplers.ddim import Ddim
from diffkit.standard.samplers.dpmpp_2m import DpmPp2M
from diffkit.standard.samplers.dpmpp_2m_sde import DpmPp2MSde
from diffkit.standard.schedules import Cosine, Edm, Flow
from diffkit.testing.contracts import (
    check_codec,
    check_conditioner,
    check_data,
    check_denoiser,
    check_density,
    check_grid,
    check_guidance,
    check_metric,
    check_prediction,
    check_sampler,
    check_schedule,
    check_weighting,
)


@dataclass(frozen=True)
class Given(Schedule, Prediction):  # type: ignore[misc]
    """A schedule or a prediction made of one function."""

    f: Callable[..., tuple[Tensor, Tensor]]

    def __call__(self, *given: Tensor) -> tuple[Tensor, Tensor]:
        return self.f(*given)


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (lambda t: (1 - t, t + 1e-3), r"\(alpha_0, sigma_0\) is \(1.0, 0.001\)"),
        (lambda t: (torch.ones_like(t), t.clamp(max=0.5)), r"log-SNR does not fall after t = \[0.5"),
        (lambda t: (1 + t, t * (1 - t)), "log-SNR does not fall after t"),
        (lambda t: ((1 - t).float(), t.float()), "alpha is torch.float32"),
    ],
)
def test_schedule(schedule: Any, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_schedule(Given(schedule))


@pytest.mark.parametrize(
    ("prediction", "message"),
    [
        (lambda a, s: (a, -s), "c_skip for 0.01 times"),  # v, as if every path were variance-preserving
        (lambda a, s: (1 / a, -s), "c_out for 0.01 times"),
    ],
)
def test_prediction(prediction: Any, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_prediction(Given(prediction))


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
        ramp = torch.arange(self.steps, dtype=torch.float64) / (self.steps - 1)  # EDM's: 0 / 0 at one step
        return torch.cat([0.9 - 0.8 * ramp, torch.zeros(1, dtype=torch.float64)])


@pytest.mark.parametrize(
    ("slip", "message"),
    [("end", "last time is 0.01"), ("start", "starts at -inf"), ("short", "1 times with 1 steps"), ("nan", "nan")],
)
def test_grid(slip: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_grid(BadGrid(slip), Flow())


@dataclass(frozen=True)
class BadDensity(TimeDensity):
    slip: str

    def __call__(self, schedule: Schedule, u: Tensor) -> Tensor:
        return {"range": lambda: u * 2 - 1, "dtype": u.float, "write": lambda: u.mul_(0.5)}[self.slip]()


@pytest.mark.parametrize(("slip", "message"), [("range", "from -1"), ("dtype", "float32"), ("write", "written")])
def test_density(slip: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_density(BadDensity(slip), Cosine())


@dataclass(frozen=True)
class BadWeighting(Weighting):
    def __call__(self, logsnr: Tensor, c_out: Tensor) -> Tensor:
        return c_out


def test_weighting() -> None:
    with pytest.raises(AssertionError, match="factors from -"):
        check_weighting(BadWeighting())


@dataclass(frozen=True)
class BadSampler(Sampler):
    """DPM-Solver++(2M), written out, with one slip."""

    slip: str = ""

    order = 2

    def steps(
        self,
        denoise: Callable[[Tensor, Tensor], Tensor],
        schedule: Schedule,
        x: Tensor,
        times: Tensor,
        noise: Callable[[Tensor], Tensor],
    ) -> Iterator[State]:
        slip, before, h_before = self.slip, None, torch.zeros(())
        for i, (t, s) in enumerate(pairwise(times)):
            (alpha_t, sigma_t), (alpha_s, sigma_s) = schedule(t), schedule(s)
            h = (alpha_s / sigma_s).log() - (alpha_t / sigma_t).log()
            x_0 = denoise(x, s if slip == "time" else t)
            mixed = x_0
            if before is not None and (h.isfinite() or slip == "last"):
                w = h / (2 * h_before) * {"sign": -1, "half": 0.5}.get(slip, 1)
                mixed = (1 + w) * x_0 - w * before
            scale = alpha_t if slip == "alpha" else alpha_s
            new = (sigma_t if slip == "sigma" else sigma_s) / sigma_t * x - scale * torch.expm1(-h) * mixed
            if slip == "rows":
                new = new + 1e-3 * x.mean()
            x = x.copy_(new) if slip == "write" else new
            before, h_before = x_0, h
            yield State(i + 1, t.item() if slip == "state" else s.item(), x, x_0)


SCHEDULES = [Flow(), Cosine(), Edm()]


def test_the_sampler_without_a_slip_passes() -> None:
    check_sampler(BadSampler(), SCHEDULES)


@pytest.mark.parametrize(
    ("slip", "message"),
    [
        ("time", "off|order"),
        ("sign", "order"),
        ("half", "order"),
        ("alpha", "off|order"),
        ("sigma", "off|order"),
        ("last", "is not finite"),
        ("rows", "in another batch is off"),
        ("write", "writes into x"),
        ("state", "stops at"),
    ],
)
def test_sampler(slip: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_sampler(BadSampler(slip), SCHEDULES)


@dataclass(frozen=True)
class Claims(Sampler):
    """A sampler that says something else of itself."""

    sampler: Sampler
    order: int = 1  # type: ignore[misc]
    calls_per_step: int | None = 1

    def steps(
        self,
        denoise: Callable[[Tensor, Tensor], Tensor],
        schedule: Schedule,
        x: Tensor,
        times: Tensor,
        noise: Callable[[Tensor], Tensor],
    ) -> Iterator[State]:
        return self.sampler.steps(denoise, schedule, x, times, noise)


@dataclass(frozen=True)
class Tolerant(Claims):
    rtol: float = 1e-4


@pytest.mark.parametrize(
    ("sampler", "message"),
    [
        (Claims(Ddim(), order=2), r"has order 1\.0\d, declared 2"),
        (Claims(DpmPp2M(), order=1), r"has order 1\.9\d, declared 1"),
        (Claims(Ddim(1.0), order=2), r"has order 0\.9\d, declared 2"),
        (Claims(DpmPp2MSde(0.5), order=3), "has order [12].*, declared 3"),
        (Claims(Ddim(), calls_per_step=2), "makes 1 calls in a step, declared 2"),
        (Claims(Ddim(), calls_per_step=None), "must have a tolerance `rtol`"),
        (Tolerant(Ddim(), calls_per_step=None), "is off by .* with a relative tolerance of 0.0001"),
    ],
)
def test_a_sampler_is_what_it_declares(sampler: Sampler, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_sampler(sampler, SCHEDULES)


class BadNetwork(DenoiserNetwork):
    def __init__(self, slip: str = "") -> None:
        super().__init__()
        self.slip, self.linear, self.level = slip, nn.Linear(3, 3), nn.Linear(1, 3)
        self.unused = nn.Linear(1, 1) if slip == "unused" else None
        self.normal = nn.BatchNorm1d(3) if slip == "rows" else None

    def forward(self, x: Tensor, logsnr: Tensor, condition: Condition) -> Tensor:
        h = self.linear(x) + (0 if self.slip == "level" else self.level(logsnr[:, None]))
        if condition.vector is not None and self.slip != "condition":
            h = h + condition.vector
        return h - h.mean(0) if self.slip == "rows" else h


def test_a_network_without_a_slip_passes() -> None:
    check_denoiser(BadNetwork(), (3,), ConditionSpec(vector=3))


@pytest.mark.parametrize(
    ("slip", "message"),
    [
        ("level", "log-SNR does not matter"),
        ("condition", "the condition's vector does not matter"),
        ("rows", "a row by itself"),
        ("unused", "no gradient reaches unused.weight, unused.bias"),
    ],
)
def test_denoiser(slip: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_denoiser(BadNetwork(slip), (3,), ConditionSpec(vector=3))


def test_conditioner() -> None:
    batch = {"label": torch.tensor([1, 2]), "text": ["a bc", "d"]}
    check_conditioner(Vector(2), batch)
    check_conditioner(Words(), batch)
    wrong = Vector(2)
    wrong.forward = lambda batch: Condition(vector=torch.ones(2, 3))  # type: ignore[method-assign]
    with pytest.raises(AssertionError, match="width of the slot vector is 3, declared 2"):
        check_conditioner(wrong, batch)


@dataclass(frozen=True)
class BadGuidance(Guidance):
    slip: str

    def __call__(self, denoise: Denoise, branches: Branches) -> Denoise:
        def guided(x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
            return denoise(x_t.add_(1) if self.slip == "write" else x_t, t, condition)

        return guided


def test_guidance() -> None:
    with pytest.raises(AssertionError, match="written into"):
        check_guidance(BadGuidance("write"))
    with pytest.raises(AssertionError, match="does not return the denoiser itself"):
        check_guidance(BadGuidance(""), off=BadGuidance(""))


class BadCodec(Codec):
    def __init__(self, slip: str) -> None:
        super().__init__()
        self.slip = slip

    def encode(self, x: Tensor) -> Tensor:
        return x - x.mean(0) if self.slip == "rows" else x

    def decode(self, z: Tensor) -> Tensor:
        return z[:, :1] if self.slip == "shape" else z / 0


@pytest.mark.parametrize(
    ("slip", "message"), [("rows", "not finite|by itself"), ("shape", r"decodes to \(1, 4\)"), ("", "not finite")]
)
def test_codec(slip: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_codec(BadCodec(slip), (3, 4))


class Rows(Data):
    """Rows of one column, and whatever is said of them."""

    def __init__(self, x: Tensor, spec: DataSpec) -> None:
        self.x, self.spec = x, spec

    def reference(self, split: str) -> dict[str, Tensor]:
        return {"x": self.x, "label": torch.zeros(2)}

    def draw(self, x: Tensor, titles: object = ()) -> Image.Image:
        return Image.new("RGB", (1, 1))


STANDARD = torch.linspace(-1.7, 1.7, 100)[:, None]


def test_rows_without_a_slip_pass() -> None:
    check_data(Rows(STANDARD, DataSpec((1,))))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (Rows(STANDARD, DataSpec((2,))), r"a row of train is \(1,\), declared \(2,\)"),
        (Rows(STANDARD / 0, DataSpec((1,))), "rows of train are not finite"),
        (Rows(STANDARD, DataSpec((1,), {"label": 10})), "label of train has not one value for each of 100 rows"),
        (Rows(STANDARD, DataSpec((1,), low=0.0)), "train in its own units and back is off"),
        (Rows(STANDARD + 1, DataSpec((1,))), "the mean of its rows is 1, not 0"),
        (Rows(STANDARD * 2, DataSpec((1,))), "the standard deviation of its rows is 2, not 1"),
    ],
)
def test_data(data: Data, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_data(data)


class Last(SampleMetric):
    """The mean of the last batch alone, or the number of batches since ever."""

    def __init__(self, slip: str) -> None:
        self.slip, self.value, self.seen = slip, torch.zeros(()), 0

    def reset(self) -> None:
        self.value = torch.zeros(())

    def update(self, x: Tensor, columns: Batch) -> None:
        self.seen += 1
        self.value = {"batch": x.mean(), "reset": torch.tensor(float(self.seen)), "nan": x.mean() / 0}[self.slip]

    def compute(self) -> Tensor:
        return self.value


@pytest.mark.parametrize(("slip", "message"), [("batch", "two batches"), ("reset", "two batches"), ("nan", "not one")])
def test_metric(slip: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_metric(Last(slip), STANDARD, {})
