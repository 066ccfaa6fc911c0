"""The variational bound: its terms against the published ones, and its place above the truth."""

import math
from itertools import pairwise

import pytest
import small
import torch
from torch.distributions import Normal, kl_divergence

from diffkit.compose.build import create
from diffkit.core.bound import Bins, variational_bound
from diffkit.core.condition import Condition
from diffkit.core.errors import DiffkitError
from diffkit.core.guidance import told
from diffkit.core.noise import Noise
from diffkit.testing.oracle import Gaussian, denoiser

F64 = torch.float64
COSINE = create("schedule", "cosine")


def grid(steps, low=-12.0, high=12.0, schedule=COSINE):
    return create("grid", "logsnr", steps=steps, logsnr_min=low, logsnr_max=high)(schedule)


def rows(oracle, n, seed=1):
    return oracle.sample(n, torch.Generator().manual_seed(seed))


def gap(steps, variance, rows_=400):
    """The bound less the truth on the same rows, and its standard error; from the oracle's own first state."""
    oracle = Gaussian.random(2)
    x = rows(oracle, rows_)
    found = variational_bound(denoiser(oracle, COSINE), COSINE, x, grid(steps), range(rows_), variance=variance)
    above = found.total[0] + oracle.log_density(x, 1.0, 0.0)
    return above.mean().item(), above.std().item() / rows_**0.5


def test_it_is_above_the_truth_and_its_gap_falls_as_one_over_the_steps():
    gaps = [gap(steps, "small") for steps in (64, 128, 256)]
    assert all(value > 5 * error for value, error in gaps)
    for (coarse, _), (fine, _) in pairwise(gaps):
        assert coarse / fine == pytest.approx(2, abs=0.5)
    close, error = gap(64, "large")
    assert abs(close) < 0.1 + 4 * error and close < gaps[1][0] / 5


@pytest.mark.parametrize(("schedule", "variance"), [("cosine", "small"), ("linear", "large"), ("vp", "small")])
def test_each_term_is_the_published_one(schedule, variance):
    """On variance-preserving paths, in the words of the chain: beta_t, alpha-bar_t, the posterior's mean."""
    schedule = create("schedule", schedule)
    oracle, times = Gaussian.random(3), grid(4, -5.0, 5.0, schedule)
    x_0, noise = rows(oracle, 5), Noise(3, range(5))
    found = variational_bound(denoiser(oracle, schedule), schedule, x_0, times, range(5), seed=3, variance=variance)
    bar = schedule(times)[0].square()
    terms = []
    for i in range(4):
        now, after = bar[i], bar[i + 1]
        x_t = now.sqrt() * x_0 + (1 - now).sqrt() * noise(x_0)
        guess = oracle.x_0(x_t, now.sqrt().item(), (1 - now).sqrt().item())
        beta = 1 - now / after
        if i == 3:
            terms.append(-Normal(guess, beta.sqrt()).log_prob(x_0).sum(1))
            break
        of_x_0, of_x_t = after.sqrt() * beta / (1 - now), (now / after).sqrt() * (1 - after) / (1 - now)
        posterior = Normal(of_x_0 * x_0 + of_x_t * x_t, ((1 - after) / (1 - now) * beta).sqrt())
        spread = posterior.stddev if variance == "small" else beta.sqrt()
        terms.append(kl_divergence(posterior, Normal(of_x_0 * guess + of_x_t * x_t, spread)).sum(1))
    prior = kl_divergence(Normal(bar[0].sqrt() * x_0, (1 - bar[0]).sqrt()), Normal(0.0, 1.0)).sum(1)
    assert torch.allclose(found.prior, prior, rtol=1e-9)
    assert torch.allclose(found.steps[0], sum(terms[:3]), rtol=1e-7)
    assert torch.allclose(found.reconstruction[0], terms[3], rtol=1e-9)
    assert torch.allclose(found.terms, torch.stack([term.mean() for term in terms[:3]]), rtol=1e-7)
    assert found.calls == 4


@pytest.mark.parametrize("variance", ["small", "large"])
def test_the_schedule_makes_no_difference(variance):
    oracle = Gaussian.random(2)
    x = rows(oracle, 6)
    totals = []
    for name in ("cosine", "flow", "edm"):
        schedule = create("schedule", name)
        times = grid(8, -6.0, 9.0, schedule)
        totals.append(variational_bound(denoiser(oracle, schedule), schedule, x, times, range(6), 0, 2, None, variance))
    for other in totals[1:]:
        assert torch.allclose(other.total, totals[0].total, rtol=1e-6)


def test_steps_at_random_are_right_on_average():
    oracle, draws = Gaussian.random(2), 80
    x = rows(oracle, 4)
    args = denoiser(oracle, COSINE), COSINE, x, grid(12)
    every = variational_bound(*args, range(4), seed=1, draws=40).total
    some = variational_bound(*args, range(4), seed=2, draws=draws, terms=3)
    assert some.calls == 4 * draws
    error = (every.var(0) / len(every) + some.total.var(0) / draws).sqrt()
    assert bool(((some.total.mean(0) - every.mean(0)).abs() < 4 * error).all())
    once = variational_bound(*args, range(4), seed=2, draws=1, terms=3)
    assert int(once.terms.isfinite().sum()) == 3 and len(once.terms) == 11


def test_rows_have_noise_of_their_own():
    oracle = Gaussian.random(2)
    x = rows(oracle, 4)
    whole = variational_bound(denoiser(oracle, COSINE), COSINE, x, grid(9), range(4), seed=5, draws=2, terms=3).total
    last = variational_bound(denoiser(oracle, COSINE), COSINE, x[2:], grid(9), [2, 3], seed=5, draws=2, terms=3).total
    assert torch.allclose(whole[:, 2:], last, rtol=1e-12)
    other = variational_bound(denoiser(oracle, COSINE), COSINE, x, grid(9), range(4), seed=6, draws=2, terms=3).total
    assert not torch.allclose(whole, other)


def test_a_learned_variance_between_the_two():
    config = small.choices("none", "moons") | {"learn_variance": True}
    model, x = small.model(config), torch.randn(5, 2, dtype=F64, generator=torch.Generator().manual_seed(0))
    denoise = told(model.at(F64), Condition())
    found = {
        name: variational_bound(denoise, COSINE, x, grid(6), range(5), variance=name)
        for name in ("small", "learned", "large")
    }
    for fixed in ("small", "large"):
        assert torch.equal(found["learned"].reconstruction, found[fixed].reconstruction)
        assert not torch.allclose(found["learned"].steps, found[fixed].steps)
    _, v = model.answer(x.float(), torch.tensor(0.5, dtype=F64), Condition())
    pinned = type(denoise)(lambda x_t, t: (denoise(x_t, t), torch.full_like(x_t, -1.0)))
    ends = variational_bound(pinned, COSINE, x, grid(6), range(5), variance="learned")
    assert v is not None and torch.allclose(ends.steps, found["small"].steps)


def test_the_probabilities_of_all_levels_sum_to_one():
    bins = Bins(torch.tensor([0.5]), torch.tensor([-1.0]), torch.tensor([2.0]))
    levels = torch.arange(-1.0, 2.1, 0.5, dtype=F64)[:, None]
    for mean, deviation in ((0.3, 0.2), (-1.0, 5.0), (7.0, 0.05)):
        of = bins.log_probability(levels, torch.tensor(mean, dtype=F64).expand(7, 1), deviation)
        assert bool(of.isfinite().all()) and of.exp().sum().item() == pytest.approx(1, abs=1e-12)
    blurred = torch.tensor([[0.37]], dtype=F64).expand(7, 1)
    posterior = bins.log_posterior(levels, blurred, 0.2)
    assert torch.allclose(posterior[:, 0], torch.log_softmax(Normal(levels, 0.2).log_prob(blurred)[:, 0], 0))
    assert posterior.exp().sum().item() == pytest.approx(1)


def test_bits_of_levels_that_a_chain_knows_exactly():
    """Two equally likely levels cost one bit, whatever the steps: the denoiser is theirs, and the noise small."""
    x = torch.tensor([[1.0], [-1.0]], dtype=F64).repeat(50, 1)

    def denoise(x_t, t):
        alpha, sigma = (c.item() for c in COSINE(t))
        return torch.tanh(alpha * x_t / sigma**2)

    bins = Bins(*(torch.tensor([v], dtype=F64) for v in (2.0, -1.0, 1.0)))
    found = variational_bound(denoise, COSINE, x, grid(100), range(100), bins=bins)
    bits = found.total[0] / math.log(2)
    assert bits.mean().item() == pytest.approx(1, abs=4 * bits.std().item() / 10 + 0.05)
    assert bits.mean().item() > 0.98


def test_refusals():
    oracle = Gaussian.random(2)
    args = denoiser(oracle, COSINE), COSINE, rows(oracle, 2)
    with pytest.raises(DiffkitError, match="two steps or more"):
        variational_bound(*args, grid(1), range(2))
    with pytest.raises(DiffkitError, match="has not learned"):
        variational_bound(*args, grid(4), range(2), variance="learned")
