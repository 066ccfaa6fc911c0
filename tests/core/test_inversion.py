"""The flow from data to noise: the leapfrog's round trip is exact, DDIM's is of first order."""

import math
from itertools import pairwise

import pytest
import small
import torch

from diffkit.compose.build import create
from diffkit.core.guidance import told
from diffkit.core.inversion import Leapfrog, ddim_noise, exact_noise, slerp
from diffkit.core.sampler import drive
from diffkit.testing.oracle import Gaussian, Mixture, denoiser

ORACLES = {"gaussian": Gaussian.random(6), "mixture": Mixture.circle()}
SCHEDULES = [create("schedule", name) for name in ("cosine", "ve", "flow")]


def times_of(schedule, steps):
    return create("grid", "logsnr", steps=steps, logsnr_min=-10.0, logsnr_max=14.0)(schedule)


def draw(sampler, denoise, schedule, x, times):
    for state in drive(sampler, denoise, schedule, x, times, torch.zeros_like):
        x = state.x
    return x


def rows(oracle, n=16):
    return oracle.sample(n, torch.Generator().manual_seed(1))


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("oracle", ORACLES.values(), ids=ORACLES)
@pytest.mark.parametrize("steps", [1, 2, 7, 40])
def test_the_leapfrogs_round_trip_is_exact(oracle, schedule, steps):
    x, denoise, times = rows(oracle), denoiser(oracle, schedule), times_of(schedule, steps)
    flight = exact_noise(denoise, schedule, x, times)
    back = draw(Leapfrog(flight.v), denoise, schedule, flight.x, times)
    assert (back - x).norm() / x.norm() < 1e-12
    if steps > 2:  # the noise is one that differs from the data
        assert (flight.x - x).norm() / x.norm() > 0.3


def test_a_networks_round_trip_is_exact_too():
    model = small.model(small.choices("none")).double()
    denoise = told(model.denoise, model.conditioners.null(3))
    x = torch.randn(3, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    times = create("grid", "flow", steps=12)(model.schedule)
    with torch.no_grad():
        flight = exact_noise(denoise, model.schedule, x, times)
    back = draw(Leapfrog(flight.v), denoise, model.schedule, flight.x, times)
    assert (back - x).norm() / x.norm() < 1e-10
    alone = exact_noise(denoise, model.schedule, x[1:2], times)
    torch.testing.assert_close(alone.x.detach(), flight.x[1:2], rtol=0, atol=1e-10)


@pytest.mark.parametrize("oracle", ORACLES.values(), ids=ORACLES)
def test_the_leapfrog_is_of_second_order_in_both_directions(oracle):
    schedule = SCHEDULES[0]
    x, denoise, errors = rows(oracle), denoiser(oracle, schedule), []
    for steps in (40, 80):
        times = create("grid", "flow", steps=steps)(schedule)
        start = tuple(c.item() for c in schedule(times[0]))
        noise = exact_noise(denoise, schedule, x, times).x
        found = draw(Leapfrog(), denoise, schedule, noise, times)
        truth = oracle.flow(x, (1.0, 0.0), start), oracle.flow(noise, start, (1.0, 0.0))
        errors.append([(a - b).norm().item() for a, b in zip((noise, found), truth, strict=True)])
    for coarse, fine in zip(*errors, strict=True):
        assert 1.6 < math.log2(coarse / fine) < 2.6


@pytest.mark.parametrize("oracle", ORACLES.values(), ids=ORACLES)
def test_ddims_round_trip_is_of_first_order(oracle):
    schedule = SCHEDULES[0]
    x, denoise, errors = rows(oracle), denoiser(oracle, schedule), []
    for steps in (50, 100, 200):
        times = create("grid", "logsnr", steps=steps, logsnr_min=-10.0, logsnr_max=10.0)(schedule)
        noise = ddim_noise(denoise, schedule, x, times)
        errors.append((draw(create("sampler", "ddim"), denoise, schedule, noise, times) - x).norm().item())
    for coarse, fine in pairwise(errors):
        assert 0.7 < math.log2(coarse / fine) < 1.3


def test_ddims_step_backwards_is_the_step_solved_for_its_start():
    """With the noise of x_t itself, which normal data of no spread have everywhere, it is DDIM's inverse."""
    point = Mixture(torch.tensor([[0.5, -1.0]], dtype=torch.float64), 0.3)
    for schedule in SCHEDULES:
        times = times_of(schedule, 5)[1:3]
        (alpha_t, alpha_s), (sigma_t, sigma_s) = (c.tolist() for c in schedule(times))
        x = rows(point, 4)
        eps = torch.tensor([[0.3, -0.2]], dtype=torch.float64).expand(4, 2)

        def constant(x_t, t, schedule=schedule, eps=eps):
            alpha, sigma = (c.item() for c in schedule(t))
            return (x_t - sigma * eps) / alpha

        expected = alpha_t * (x - sigma_s * eps) / alpha_s + sigma_t * eps
        torch.testing.assert_close(ddim_noise(constant, schedule, x, times), expected, rtol=0, atol=1e-9)


def test_slerp_is_a_great_circle_between_its_ends():
    g = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 3, 4, 5, generator=g, dtype=torch.float64)
    a, b = a.flatten(1), b.flatten(1)
    b = b * (a.norm(dim=1) / b.norm(dim=1))[:, None]
    assert torch.equal(slerp(a, b, torch.zeros(3)), a) and torch.equal(slerp(a, b, torch.ones(3)), b)
    third = slerp(a, b, torch.full((3,), 1 / 3, dtype=torch.float64))
    torch.testing.assert_close(third.norm(dim=1), a.norm(dim=1))

    def angle(p, q):
        return torch.acos((p * q).sum(1) / p.norm(dim=1) / q.norm(dim=1))

    torch.testing.assert_close(3 * angle(a, third), angle(a, b))
    torch.testing.assert_close(slerp(a, a, torch.full((3,), 0.4)), a)
