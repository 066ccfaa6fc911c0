"""Slips in data, metrics and tasks: each is caught by the contract that is for it."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from caught import caught
from lightning import LightningModule
from PIL import Image
from torch import Tensor

from diffkit.core.data import Data, DataSpec, Portable, order, rows_of
from diffkit.core.metric import SampleMetric
from diffkit.core.types import Batch
from diffkit.standard.weightings import Unit
from diffkit.testing import check_data, check_metric, check_task

X = torch.linspace(-1.7, 1.7, 100)[:, None]


class Rows(Data):
    """Rows of one column and a label, with one slip."""

    def __init__(self, slip: str = "", seed: int = 0) -> None:
        self.slip, self.seed, self.start = slip, seed, 0
        label = {"label": 2}
        changed = {
            "unit": DataSpec((1,), unit=("m", "s")),
            "shape": DataSpec((2,)),
            "low": DataSpec((1,), label, low=0.0),
            "zero": DataSpec((1,), scale=(0.0,)),
            "names": DataSpec((1,), label, class_names=("a",)),
        }
        self.spec = changed.get(slip, DataSpec((1,), label))

    def prepare_data(self) -> None: ...

    def setup(self, stage: str) -> None: ...

    def reference(self, split: str) -> dict[str, Any]:
        changed = {
            "nan": X / 0,
            "mean": X + 1,
            "scale": 2 * X,
            "random": X + 1e-3 * torch.rand(()),
            "dtype": X.double(),
        }
        label = torch.arange(50 if self.slip == "column" else 100) % (3 if self.slip == "classes" else 2)
        known = {"known": X > 0} if self.slip == "known" else {"known": X[:, 0] > 0} if self.slip == "places" else {}
        return {"x": changed.get(self.slip, X), "label": label, **known}

    def train_dataloader(self) -> Iterator[Batch]:
        rows, seed = self.reference("train"), int(torch.randint(99, ())) if self.slip == "order" else self.seed
        start = 0 if self.slip == "start" else self.start
        for index in order(seed, 100, 8, start):
            yield {"x": X[index]} if self.slip == "batch" else rows_of(rows, index)

    def draw(self, x: Tensor, titles: object = ()) -> Image.Image:
        return None if self.slip == "draw" else Image.new("RGB", (1, 1))  # type: ignore[return-value]


def test_rows_without_a_slip_pass() -> None:
    check_data(Rows)


class Half(Rows):
    """As many numbers again, which there are not."""

    def reference(self, split: str) -> dict[str, Any]:
        rows = super().reference(split)
        x = torch.cat([rows["x"], torch.zeros_like(rows["x"])])
        return {"x": x, "known": x != 0, "label": torch.arange(200) % 2}


def test_numbers_that_there_are_not_have_no_part_in_the_spread() -> None:
    check_data(Half)


@pytest.mark.parametrize(
    ("slip", "contract", "message"),
    [
        ("zero", "spec", r"spec.scale is \(0.0,\), and must be above 0"),
        ("names", "spec", "spec.class_names has 1 entries, not 0 or 2"),
        ("unit", "spec", r"spec.unit is \('m', 's'\), not a text, or one for each of 1 first entries"),
        ("places", "known", r"'known' of train is torch.bool of shape \(100,\), for rows of \(100, 1\)"),
        ("known", "known", "numbers of train that are not known are not 0"),
        ("shape", "rows", r"a row of train is of shape \(1,\), spec.shape is \(2,\)"),
        ("nan", "rows", "100 values of train are not finite"),
        ("dtype", "rows", "the rows of train are torch.float64, not torch.float32"),
        ("column", "columns", "label of train has 50 values for 100 rows"),
        ("classes", "columns", "label of train goes up to 2, and there are 2 classes"),
        ("low", "units", "the rows of train in their own units and back is off by"),
        ("mean", "standardised", "the mean of the training rows is 1, not 0"),
        ("scale", "standardised", "the standard deviation of the training rows is 2, not 1"),
        ("draw", "draws", "draw gives no picture of 4 rows"),
        ("batch", "batches", "batch 0 has 0 values of 'label' for 8 rows"),
        ("random", "repeats", "built again with the same seed, train is different"),
        ("order", "repeats", "built again with the same seed, batch 0 has other rows"),
        ("start", "resumes", "with start = 2 the first batch is not the third of a whole run"),
    ],
)
def test_data(slip: str, contract: str, message: str) -> None:
    def make(seed: int) -> Data:
        return Rows(slip, seed if slip != "order" else int(torch.randint(99, ())))

    caught(lambda: check_data(make), contract, f"Rows: {message}")


class Carried(Rows, Portable):
    """What draws without the data slips."""

    @classmethod
    def drawing(cls, spec: DataSpec, rows: Callable[[], Batch | None]) -> Rows:
        assert rows() is None
        return Rows("draw")


def test_data_are_drawn_without_the_data_too() -> None:
    caught(lambda: check_data(Carried), "draws", r"Carried: draw gives no picture of 4 rows, .* \(by Rows\)")


class Mean(SampleMetric):
    """The distance of the mean from 0, with one slip."""

    higher_is_better = False

    def __init__(self, slip: str = "") -> None:
        self.slip, self.seen = slip, 0
        self.x: list[Tensor] = []
        self.first = torch.zeros(())
        self.higher_is_better = slip == "better"
        if slip == "none":
            self.sync = None

    def sync(self) -> None: ...

    def reset(self) -> None:
        if self.slip != "reset":
            self.x = []

    def update(self, x: Tensor, columns: Batch) -> None:
        self.seen += 1
        self.first = self.first if self.x else x[0].mean()
        self.x = [x] if self.slip == "last" else [*self.x, x.clamp_(max=3) if self.slip == "write" else x]

    def compute(self) -> Tensor:
        x = torch.cat(self.x).double()
        near = (x.mean() - 5).abs()
        if self.slip == "better":
            return near
        changed = {"nan": near / 0, "rows": x.flatten(1).mean(1), "order": near + self.first}
        return changed.get(self.slip, near)


class Spread(Mean):
    """How often neighbouring pixels differ, which is what noise does more."""

    def compute(self) -> Tensor:
        return torch.cat(self.x).double().diff().abs().mean()


def test_a_metric_without_a_slip_passes() -> None:
    check_metric(Spread)


@pytest.mark.parametrize(
    ("slip", "contract", "message"),
    [
        ("none", "interface", "has no sync: let it inherit from torchmetrics.Metric beside SampleMetric"),
        ("rows", "number", r"a value is of shape \(\d+,\), not one number"),
        ("nan", "number", "the value for held-out rows is inf"),
        ("write", "untouched", "the samples or their columns were written into"),
        ("reset", "reset", r"the value for the same samples after a reset, .* for .* \(others gave .*\), is off by"),
        ("last", "batches", "the value for three batches, .* for .* of one, is off by"),
        ("order", "order", "the value for the same samples in another order, .* for .*, is off by"),
    ],
)
def test_metric(slip: str, contract: str, message: str) -> None:
    caught(lambda: check_metric(partial(Mean, slip)), contract, message)


def test_a_metric_that_says_the_wrong_direction() -> None:
    message = ".* for real rows, .* for noise, and higher_is_better is True"
    caught(lambda: check_metric(partial(Spread, "better")), "real", message)


class Task(LightningModule):
    """Learning to denoise at one time, with one slip."""

    def __init__(self, model: Any, optimizer: Any, slip: str = "") -> None:
        super().__init__()
        self.model, self.optimizer, self.slip, self.count = model, optimizer, slip, 0
        self.unused = torch.nn.Parameter(torch.zeros(1)) if slip == "unused" else None

    def configure_optimizers(self) -> Any:
        parameters = list(self.parameters())
        if self.slip == "frozen":
            return self.optimizer(parameters, lr=0.0)
        return None if self.slip == "none" else self.optimizer(parameters)

    def training_step(self, batch: Batch, index: int) -> Tensor:
        x = batch["x"].add_(1) if self.slip == "write" else batch["x"]
        stream = None if self.slip == "draws" else torch.Generator().manual_seed(0)
        t = torch.full((len(x),), 0.5, dtype=torch.float64)
        eps = torch.randn(x.shape, generator=stream)
        loss = self.model.loss({**batch, "x": x}, t, eps, Unit())[0]
        if self.slip == "rows":
            return loss
        return {"nan": loss.mean() / 0, "detached": loss.mean().detach()}.get(self.slip, loss.mean())


def test_a_task_without_a_slip_passes() -> None:
    check_task(Task)


@pytest.mark.parametrize(
    ("slip", "contract", "message"),
    [
        ("rows", "loss", r"the loss is of shape \(16,\), not one number"),
        ("nan", "loss", "the loss of 16 rows is inf"),
        ("detached", "loss", "the loss has no gradient"),
        ("draws", "repeats", r"the loss is [\d.]+, and was [\d.]+ with the same seed"),
        ("write", "untouched", "the batch was written into"),
        ("none", "gradients", "configure_optimizers gives NoneType, not an optimizer of torch"),
        ("unused", "gradients", "no gradient reaches unused, 1 of"),
        ("frozen", "learns", r"after 2 steps (\d+) of \1 tensors are as before: "),
    ],
)
def test_task(slip: str, contract: str, message: str) -> None:
    caught(lambda: check_task(partial(Task, slip=slip)), contract, message)
