"""The learned range of the reverse variance."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

from diffkit.core.condition import Condition
from diffkit.core.denoiser import DenoiserNetwork
from diffkit.core.errors import DiffkitError
from diffkit.core.model import DiffusionModel
from diffkit.core.schedule import Schedule
from diffkit.core.variance import VarianceBound, WithVariance, with_variance
from diffkit.standard.codecs.identity import Identity
from diffkit.standard.predictions import X0, Eps, V
from diffkit.standard.schedules import Cosine, Edm, Linear
from diffkit.standard.weightings import Unit


def step(schedule: Schedule, t: Tensor, s: Tensor) -> tuple[Tensor, ...]:
    """Of q(x_s | x_t, x_0): the weights of x_t and x_0 in its mean, its variance; and the forward step's variance.

    From the product of two Gaussians, x_s given x_0 and x_t given x_s; the variance of the forward step is that of the
    variance-preserving path, on the scale of x_s.
    """
    (alpha_t, sigma_t), (alpha_s, sigma_s) = schedule(t), schedule(s)
    scale = alpha_t / alpha_s
    forward = sigma_t**2 - (scale * sigma_s) ** 2
    small = 1 / (1 / sigma_s**2 + scale**2 / forward)
    size_t, size_s = alpha_t**2 + sigma_t**2, alpha_s**2 + sigma_s**2
    beta = 1 - (alpha_t**2 / size_t) / (alpha_s**2 / size_s)
    return small * scale / forward, small * alpha_s / sigma_s**2, small, beta * size_s


@pytest.mark.parametrize("schedule", [Linear(), Cosine(), Edm()], ids=str)
@pytest.mark.parametrize("prediction", [Eps(), X0(), V()], ids=str)
def test_the_bound_is_the_divergence_of_two_gaussians(prediction: Eps | X0 | V, schedule: Schedule) -> None:
    """Written out in x, for a wrong x_0 and any v: T times 0.001 times it, for each dimension."""
    g = torch.Generator().manual_seed(0)
    x_0, guess, eps, v = (torch.randn(6, 3, generator=g, dtype=torch.float64) for _ in range(4))
    t = torch.tensor([0.02, 0.1, 0.3, 0.5, 0.8, 0.98], dtype=torch.float64)
    alpha, sigma = (c[:, None] for c in schedule(t))
    x_t = alpha * x_0 + sigma * eps
    of_x_t, of_x_0, small, large = (c[:, None] for c in step(schedule, t, t - 1 / 100))
    truth = Normal(of_x_t * x_t + of_x_0 * x_0, small.sqrt().expand(6, 3))
    between = torch.exp((v + 1) / 2 * large.log() + (1 - (v + 1) / 2) * small.log())
    model = Normal(of_x_t * x_t + of_x_0 * guess, between.sqrt())
    c_out = prediction(*schedule(t))[1]
    error = ((x_0 - guess) / c_out[:, None]) ** 2
    got = VarianceBound(100, 0.001)(schedule, t, c_out, error, v)
    torch.testing.assert_close(got, 0.1 * kl_divergence(truth, model), rtol=1e-6, atol=0)


def test_the_first_step_of_the_chain_is_halved() -> None:
    """Where t - 1/T is 0 or less, the step is to t/2: it adds noise, that to 0 does not."""
    t, ones = torch.tensor([0.005, 0.01], dtype=torch.float64), torch.ones(2, dtype=torch.float64)
    rows = ones[:, None]
    got = VarianceBound(100)(Cosine(), t, ones, 0.1 * rows, rows)
    halves = [VarianceBound(n)(Cosine(), t, ones, 0.1 * rows, rows)[i] * 100 / n for i, n in ((0, 400), (1, 200))]
    torch.testing.assert_close(got, torch.stack(halves))


class Place(DenoiserNetwork):
    """The exact x_0 of normal data of variance c, at the log-SNR 0; v is a parameter, one for each dimension."""

    def __init__(self, c: Tensor) -> None:
        super().__init__()
        self.c, self.v = c, nn.Parameter(torch.zeros_like(c))

    def forward(self, x: Tensor, logsnr: Tensor, condition: Condition) -> Tensor:
        x, padding = x.chunk(2, 1)
        assert not padding.any()
        return torch.cat([0.5**0.5 * self.c / (0.5 * self.c + 0.5) * x, self.v.expand(len(x), -1)], 1)


@pytest.mark.parametrize("schedule", [Cosine(), Edm()], ids=str)
def test_v_goes_to_the_best_variance(schedule: Schedule) -> None:
    """For normal data of variance c in each dimension the best is that of p(x_s | x_t), which is known.

    Near the upper bound for the variance 1, near the lower one for next to none, and between for one between.
    """
    c = torch.tensor([1e-4, 0.1, 1.0], dtype=torch.float64)
    model = DiffusionModel(Place(c), X0(), schedule, [], Identity(), learn_variance=True)
    v = next(p for p in model.parameters())
    optimizer, g = torch.optim.Adam([v], lr=0.1), torch.Generator().manual_seed(0)
    t, bound = schedule.time(torch.zeros(64, dtype=torch.float64)), VarianceBound(200)
    for step_ in range(150):
        x, eps = (torch.randn(64, 3, generator=g, dtype=torch.float64) for _ in range(2))
        with_v = model.loss({"x": x * c.sqrt()}, t, eps, Unit(), bound=bound)[0].mean()
        optimizer.param_groups[0]["lr"] = 0.1 * (1 - step_ / 150)
        optimizer.zero_grad()
        with_v.backward()
        optimizer.step()
    _, of_x_0, small, large = (k[0] for k in step(schedule, t, t - 1 / 200))
    alpha, sigma = (k[0] for k in schedule(t))
    unknown = c * sigma**2 / (alpha**2 * c + sigma**2)  # the variance of x_0 given x_t
    best = (small + of_x_0**2 * unknown).log()
    found = small.log() + (v.detach() + 1) / 2 * (large / small).log()
    torch.testing.assert_close(found, best, rtol=0, atol=0.1 * math.log(large / small))
    assert found[0] < found[1] < found[2]
    assert found[2].item() == pytest.approx(large.log().item(), abs=0.1 * math.log(large / small))


def test_the_mean_learns_nothing_from_the_bound() -> None:
    error = torch.ones(2, 3, requires_grad=True)
    t, ones = torch.tensor([0.3, 0.6], dtype=torch.float64), torch.ones(2, dtype=torch.float64)
    v = torch.zeros(2, 3, requires_grad=True)
    VarianceBound()(Cosine(), t, ones, error, v).sum().backward()  # type: ignore[no-untyped-call]
    assert error.grad is None
    assert v.grad is not None and v.grad.all()


def test_a_denoiser_that_gives_v_is_a_denoiser() -> None:
    x, t = torch.ones(2, 2), torch.tensor(0.5)
    both = WithVariance(lambda x_t, t: (2 * x_t, 3 * x_t))
    assert (both(x, t) == 2).all()
    assert with_variance(both) is both
    with pytest.raises(DiffkitError, match="learn_variance=true"):
        with_variance(lambda x_t, t: x_t)
