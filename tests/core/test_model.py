"""The model: exact where the network is exact, and the textbook's losses."""

import pytest
import torch
from parts import SCHEDULES, every
from toys import Echo, Exact, Vector

from diffkit.core.condition import Condition
from diffkit.core.denoiser import DenoiserNetwork
from diffkit.core.errors import DiffkitError
from diffkit.core.model import DiffusionModel
from diffkit.core.prediction import Prediction
from diffkit.core.schedule import Schedule
from diffkit.core.variance import VarianceBound
from diffkit.standard.codecs.identity import Identity
from diffkit.standard.predictions import X0, Edm as EdmPrediction, Eps, Flow as FlowPrediction, Score, V
from diffkit.standard.schedules import Cosine, Edm, Flow, Linear
from diffkit.standard.weightings import MinSnr, Unit
from diffkit.testing.oracle import Gaussian

GAUSSIAN = Gaussian.random(5)


def exact(prediction: Prediction, schedule: Schedule) -> DiffusionModel:
    return DiffusionModel(Exact(GAUSSIAN, prediction), prediction, schedule, [], Identity())


def state(schedule: Schedule, t: torch.Tensor) -> torch.Tensor:
    g = torch.Generator().manual_seed(0)
    alpha, sigma = schedule(t)
    return alpha * GAUSSIAN.sample(4, g) + sigma * torch.randn(4, 5, generator=g, dtype=torch.float64)


@pytest.mark.parametrize("t", [0.01, 0.4, 0.9])
@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
@pytest.mark.parametrize("prediction", every("prediction"))
def test_denoise_and_score_are_the_oracles(prediction: Prediction, schedule: Schedule, t: float) -> None:
    """One network's answers on any schedule; Tweedie's formula against autograd of the log density."""
    time = torch.tensor(t, dtype=torch.float64)
    x_t, (alpha, sigma) = state(schedule, time), (c.item() for c in schedule(time))
    model = exact(prediction, schedule)
    x_0 = model.denoise(x_t, time, Condition())
    torch.testing.assert_close(x_0, GAUSSIAN.x_0(x_t, alpha, sigma), rtol=1e-7, atol=1e-7)
    x_t.requires_grad_()
    (score,) = torch.autograd.grad(GAUSSIAN.log_density(x_t, alpha, sigma).sum(), x_t)
    torch.testing.assert_close(model.score(x_t.detach(), time, Condition()), score, rtol=1e-6, atol=1e-7 / sigma**2)


@pytest.mark.parametrize("t", [0.0, 1.0])
@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
@pytest.mark.parametrize("prediction", every("prediction"))
def test_the_network_sees_logsnr_within_its_limit_and_unit_variance(
    prediction: Prediction, schedule: Schedule, t: float
) -> None:
    network = Echo()
    model = DiffusionModel(network, prediction, schedule, [], Identity())
    x_t = torch.tensor(list(schedule(torch.tensor(t).double()))).norm() * torch.ones(2, 5)
    assert torch.isfinite(model.denoise(x_t, torch.tensor(t).double(), Condition())).all()
    x, logsnr, _ = network.asked[0]
    assert logsnr.abs().max() <= 20 + 1e-5
    torch.testing.assert_close(x, torch.ones_like(x), rtol=1e-4, atol=1e-4)


TARGETS = {
    Eps(): lambda a, s: (0 * a, 0 * a + 1),
    X0(): lambda a, s: (0 * a + 1, 0 * a),
    V(): lambda a, s: (-s, a),
    FlowPrediction(): lambda a, s: (0 * a - 1, 0 * a + 1),
    EdmPrediction(): lambda a, s: (s, -a),
    Score(): lambda a, s: (0 * a, 0 * a - 1),
}


@pytest.mark.parametrize("prediction", TARGETS, ids=str)
@pytest.mark.parametrize("schedule", [Linear(), Cosine()], ids=str)
def test_loss_is_the_textbooks(prediction: Prediction, schedule: Schedule) -> None:
    """The squared distance of the network's output (here: the label) from eps, x_0, v, u or EDM's F."""
    network = Echo()
    model = DiffusionModel(network, prediction, schedule, [Vector(5)], Identity())
    g = torch.Generator().manual_seed(1)
    x, eps = torch.randn(6, 5, generator=g), torch.randn(6, 5, generator=g)
    t, label = torch.tensor([0.0, 0.01, 0.3, 0.6, 0.99, 1.0]).double(), torch.arange(6)
    loss, logsnr = model.loss({"x": x, "label": label}, t, eps, Unit())
    alpha, sigma = schedule(t.clamp(*schedule.span()))
    a, b = TARGETS[prediction](alpha[:, None], sigma[:, None])
    torch.testing.assert_close(loss.double(), (label[:, None] - (a * x + b * eps)).square().mean(1), rtol=1e-5, atol=0)
    torch.testing.assert_close(network.asked[0][0], (alpha[:, None] * x + sigma[:, None] * eps).float())
    torch.testing.assert_close(logsnr, schedule.logsnr(t.clamp(*schedule.span())).clamp(-20, 20))


def test_loss_is_the_same_on_any_scale_of_the_path() -> None:
    """At the same log-SNR, EDM's x_0 + 80 t eps and flow's (1 - t) x_0 + t eps train alike."""
    x, eps, logsnr = torch.randn(5, 5), torch.randn(5, 5), torch.linspace(-8, 8, 5).double()
    losses = []
    for schedule in (Flow(), Edm(), Cosine()):
        model = DiffusionModel(Echo(), V(), schedule, [], Identity())
        losses.append(model.loss({"x": x}, schedule.time(logsnr), eps, Unit())[0])
    torch.testing.assert_close(losses[0], losses[1])
    torch.testing.assert_close(losses[0], losses[2])


def test_weighting_multiplies_each_row() -> None:
    """Min-SNR of an eps network: the error of eps times min(1, gamma / SNR)."""
    model = DiffusionModel(Echo(), Eps(), Cosine(), [], Identity())
    x, eps, t = torch.randn(9, 5), torch.randn(9, 5), torch.linspace(0.05, 0.95, 9).double()
    plain, logsnr = model.loss({"x": x}, t, eps, Unit())
    weighed, _ = model.loss({"x": x}, t, eps, MinSnr(5.0))
    torch.testing.assert_close(weighed, plain * (5 / logsnr.exp()).clamp(max=1).float())


def test_dropped_conditions_reach_the_network_as_the_null() -> None:
    network = Echo()
    model = DiffusionModel(network, X0(), Cosine(), [Vector(5)], Identity())
    batch = {"x": torch.randn(2, 5), "label": torch.tensor([7, 8])}
    model.loss(batch, torch.full((2,), 0.5).double(), torch.randn(2, 5), Unit(), torch.tensor([[True, False]]))
    vector = network.asked[0][2].vector
    assert vector is not None and vector[:, 0].tolist() == [7, 0]


def test_another_schedule_for_the_same_network() -> None:
    """Trained on one path, sampled on another: the same x_0 from the same data and noise level."""
    model = exact(V(), Cosine())
    other = model.with_schedule(Edm())
    t, s = (schedule.time(torch.tensor(1.5)) for schedule in (Cosine(), Edm()))
    x_t = state(Cosine(), t)
    scaled = x_t * (Edm()(s)[0] / Cosine()(t)[0])
    torch.testing.assert_close(other.denoise(scaled, s, Condition()), model.denoise(x_t, t, Condition()))
    assert other.denoiser is model.denoiser


class Constant(DenoiserNetwork):
    """A parameter for each number of its output, whatever it is asked."""

    def __init__(self, rows: int, values: int) -> None:
        super().__init__()
        self.answer = torch.nn.Parameter(torch.linspace(-1, 1, rows * values).reshape(rows, values))

    def forward(self, x: torch.Tensor, logsnr: torch.Tensor, condition: Condition) -> torch.Tensor:
        return self.answer + 0 * x


KNOWN = torch.tensor([[True, False, True, False], [True] * 4, [False] * 4])


def rows_of_three() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(3)
    x, eps = torch.randn(3, 4, generator=g), torch.randn(3, 4, generator=g)
    return x * KNOWN, eps, torch.tensor([0.2, 0.5, 0.8]).double()


@pytest.mark.parametrize("learn_variance", [False, True], ids=["mean", "variance"])
def test_the_loss_is_the_mean_over_known_numbers_and_the_others_teach_nothing(learn_variance: bool) -> None:
    """A row's loss is that of its known numbers as a row of their own: the error's and the bound's share of it."""
    x, eps, t = rows_of_three()
    network = Constant(3, 8 if learn_variance else 4)
    model = DiffusionModel(network, V(), Cosine(), [], Identity(), learn_variance)
    bound = VarianceBound(100, 0.1) if learn_variance else None
    loss, _ = model.loss({"x": x, "known": KNOWN}, t, eps, Unit(), bound=bound)
    for i, known in enumerate(KNOWN[:2]):
        part, both = Constant(1, 1), known.repeat(2 if learn_variance else 1)
        part.answer = torch.nn.Parameter(network.answer[i : i + 1, both].detach())
        alone = DiffusionModel(part, V(), Cosine(), [], Identity(), learn_variance)
        wanted, _ = alone.loss({"x": x[i : i + 1, known]}, t[i : i + 1], eps[i : i + 1, known], Unit(), bound=bound)
        torch.testing.assert_close(loss[i], wanted[0])
    assert loss[2] == 0
    loss.sum().backward()
    taught = network.answer.grad != 0
    assert torch.equal(taught, KNOWN.repeat(1, 2) if learn_variance else KNOWN)


def test_what_is_said_of_unknown_numbers_has_no_influence() -> None:
    x, eps, t = rows_of_three()
    model = DiffusionModel(Constant(3, 4), V(), Cosine(), [], Identity())
    loss, _ = model.loss({"x": x, "known": KNOWN}, t, eps, Unit())
    other, _ = model.loss({"x": x.where(KNOWN, 7.0), "known": KNOWN}, t, eps.where(KNOWN, -3.0), Unit())
    assert torch.equal(loss, other)


@pytest.mark.parametrize("learn_variance", [False, True], ids=["mean", "variance"])
def test_where_all_is_known_the_column_changes_no_bit(learn_variance: bool) -> None:
    x, eps, t = rows_of_three()
    model = DiffusionModel(Constant(3, 8 if learn_variance else 4), V(), Cosine(), [], Identity(), learn_variance)
    bound = VarianceBound() if learn_variance else None
    plain, _ = model.loss({"x": x}, t, eps, Unit(), bound=bound)
    told, _ = model.loss({"x": x, "known": torch.ones_like(KNOWN)}, t, eps, Unit(), bound=bound)
    assert torch.equal(plain, told)


def test_a_codec_that_mixes_known_numbers_with_others_is_refused() -> None:
    class Halves(Identity):
        def encode(self, x: torch.Tensor) -> torch.Tensor:
            return x[:, :2]

    x, eps, t = rows_of_three()
    model = DiffusionModel(Echo(), V(), Cosine(), [], Halves())
    with pytest.raises(DiffkitError, match="choose codec=identity"):
        model.loss({"x": x, "known": KNOWN}, t, eps[:, :2], Unit())
