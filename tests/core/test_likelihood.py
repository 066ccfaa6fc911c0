"""Log p by the probability-flow ODE is that of distributions whose density is known."""

import math

import pytest
import small
import torch
from scipy import stats

from diffkit.compose.build import create
from diffkit.core.condition import Condition
from diffkit.core.denoiser import DenoiserNetwork
from diffkit.core.dormand_prince import solve
from diffkit.core.errors import DiffkitError, RunFailed
from diffkit.core.guidance import told
from diffkit.core.likelihood import draw_probes, log_likelihood, traced
from diffkit.core.model import DiffusionModel
from diffkit.core.noise import Noise
from diffkit.testing.oracle import Gaussian, Mixture, denoiser

F64 = torch.float64
COSINE = create("schedule", "cosine")


def rows(oracle, n=16, seed=1):
    return oracle.sample(n, torch.Generator().manual_seed(seed))


def known(oracle, schedule):
    """The oracle's own density at the last time."""
    return lambda x, t: oracle.log_density(x, *(c.item() for c in schedule(t)))


def mixture_log_density(mixture, x):
    square = (x[:, None] - mixture.means).square().sum(-1) / mixture.variance
    each = -(square + x.shape[1] * math.log(2 * math.pi * mixture.variance)) / 2
    return each.logsumexp(1) - math.log(len(mixture.means))


def probes(x, k, seed=0, kind="rademacher"):
    return draw_probes(x, k, Noise(seed, range(len(x))), kind)


@pytest.mark.parametrize("d", [1, 8])
def test_the_correlated_gaussian(d):
    oracle = Gaussian.random(d)
    x = rows(oracle)
    truth = oracle.log_density(x, 1.0, 0.0)
    found = log_likelihood(denoiser(oracle, COSINE), COSINE, x, prior=known(oracle, COSINE))
    assert (found.nats - truth).abs().max() < 1e-4
    assert found.error.tolist() == [0.0] * len(x) and found.directions == d and found.calls < 250
    # from standard normal noise the model's own density differs by what a path to a log-SNR of -20 leaves of the data
    own = log_likelihood(denoiser(oracle, COSINE), COSINE, x).nats
    assert (own - truth).abs().max() < 1e-3


def test_the_mixture():
    oracle = Mixture.circle()
    x = rows(oracle)
    found = log_likelihood(denoiser(oracle, COSINE), COSINE, x, tolerance=1e-6).nats
    assert (found - mixture_log_density(oracle, x)).abs().max() < 1e-4


@pytest.mark.parametrize("name", ["linear", "edm", "flow"])
def test_the_schedule_makes_no_difference(name):
    oracle, schedule = Gaussian.random(3), create("schedule", name)
    x, span = rows(oracle), (-7.0, 15.0)
    other = log_likelihood(denoiser(oracle, schedule), schedule, x, logsnr=span).nats
    assert torch.allclose(other, log_likelihood(denoiser(oracle, COSINE), COSINE, x, logsnr=span).nats, atol=1e-9)
    ends = log_likelihood(denoiser(oracle, schedule), schedule, x, logsnr=span, prior=known(oracle, schedule)).nats
    assert (ends - oracle.log_density(x, 1.0, math.exp(-7.5))).abs().max() < 1e-4


class Wrapped(DenoiserNetwork):
    """The network of a Gaussian whose output means what a prediction says."""

    def __init__(self, oracle, prediction):
        super().__init__()
        self.oracle, self.prediction = oracle, prediction

    def forward(self, x, logsnr, condition):
        level = logsnr[0].double()
        alpha, sigma = level.sigmoid().sqrt(), (-level).sigmoid().sqrt()
        c_skip, c_out = self.prediction(alpha, sigma)
        return (self.oracle.x_0(x, alpha.item(), sigma.item()) - c_skip.item() * x) / c_out.item()


@pytest.mark.parametrize("name", ["eps", "x0", "v", "flow", "edm"])
def test_the_prediction_makes_no_difference(name):
    oracle = Gaussian.random(2)
    prediction = create("prediction", name)
    model = DiffusionModel(Wrapped(oracle, prediction), prediction, COSINE, [], create("codec", "identity"))
    x = rows(oracle)
    span = (-10.0, 12.0)
    found = log_likelihood(told(model.at(F64), Condition()), COSINE, x, logsnr=span).nats
    assert torch.allclose(found, log_likelihood(denoiser(oracle, COSINE), COSINE, x, logsnr=span).nats, atol=1e-6)


@pytest.mark.parametrize("kind", ["rademacher", "gaussian"])
def test_the_interval_of_hutchinsons_estimate_covers_the_truth(kind):
    """200 repeats for each row, with 5 probes: Student's 95 % interval; at 3 sd of the share of the rows themselves."""
    oracle, k, repeats = Gaussian.random(6), 5, 200
    x = rows(oracle, 4)
    span, exact = (-10.0, 10.0), log_likelihood(denoiser(oracle, COSINE), COSINE, x, logsnr=(-10.0, 10.0))
    many = x.repeat(repeats, 1)
    found = log_likelihood(
        denoiser(oracle, COSINE), COSINE, many, probes(many, k, kind=kind), logsnr=span, tolerance=1e-3
    )
    half = stats.t.ppf(0.975, k - 1) * found.error
    inside = (found.nats - exact.nats.repeat(repeats)).abs() < half
    share = inside.double().mean().item()
    assert abs(share - 0.95) < 4 * math.sqrt(0.95 * 0.05 / len(many)), share
    assert found.directions == k


def test_the_trace_of_a_known_jacobian():
    g = torch.Generator().manual_seed(0)
    a, y = torch.randn(4, 4, generator=g, dtype=F64), torch.randn(3, 4, generator=g, dtype=F64)
    value, exact = traced(lambda y: y @ a.T + y**3, y, None)
    truth = a.trace() + 3 * y.square().sum(1)
    assert torch.allclose(exact[:, 0], truth) and torch.allclose(value, y @ a.T + y**3)
    signs = probes(y, 2)
    assert set(signs.unique().tolist()) == {-1.0, 1.0}
    expected = torch.einsum("kbi,ij,kbj->bk", signs, a, signs) + 3 * y.square().sum(1)[:, None]
    assert torch.allclose(traced(lambda y: y @ a.T + y**3, y, signs)[1], expected)
    with torch.inference_mode():
        assert torch.allclose(traced(lambda y: y @ a.T + y**3, y, None)[1], exact)


def test_many_probes_find_the_exact_divergence_of_a_network():
    model = small.model({**small.choices("none"), "denoiser": {"_part_": "unet", "width": 8, "blocks": 1}})
    x = 0.5 * torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0), dtype=F64)
    denoise, t = told(model.at(F64), model.conditioners({}, 2)), torch.tensor(0.5, dtype=F64)
    _, exact = traced(lambda y: denoise(y, t), x, None)
    _, guess = traced(lambda y: denoise(y, t), x, probes(x, 200))
    error = guess.std(1) / 200**0.5
    assert bool((error < 0.1 * exact[:, 0].abs()).all())
    assert bool(((guess.mean(1) - exact[:, 0]).abs() < 4 * error).all())


def test_a_row_is_the_same_in_any_batch_to_the_tolerance():
    oracle = Mixture.circle()
    x = rows(oracle, 2)
    whole = log_likelihood(denoiser(oracle, COSINE), COSINE, x).nats
    alone = torch.cat([log_likelihood(denoiser(oracle, COSINE), COSINE, row[None]).nats for row in x])
    assert (whole - alone).abs().max() < 2e-4


def test_an_empty_range_and_a_network_that_is_not_finite():
    oracle = Gaussian.random(2)
    with pytest.raises(DiffkitError, match="no log-SNR from 5 to 5"):
        log_likelihood(denoiser(oracle, COSINE), COSINE, rows(oracle), logsnr=(5.0, 5.0))
    with pytest.raises(RunFailed, match="raise the tolerance"):
        log_likelihood(lambda x, t: x * math.nan, COSINE, rows(oracle))


def test_the_solver_keeps_its_tolerance():
    y = torch.tensor([[1.0, 0.0]], dtype=F64)
    turn = torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=F64)
    ends = [solve(lambda m, y: y @ turn.T, y, 10.0, 0.0, tolerance) for tolerance in (1e-4, 1e-8)]
    exact = torch.tensor([[math.cos(10), math.sin(10)]], dtype=F64)
    coarse, fine = ((end - exact).abs().max().item() for end in ends)
    assert fine < 1e-6 < coarse < 1e-2
