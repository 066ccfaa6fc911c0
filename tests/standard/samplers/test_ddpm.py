"""DDPM with a learned variance."""

import pytest
import torch
from torch import Tensor

from diffkit.core.errors import DiffkitError
from diffkit.core.sampler import calls, drive
from diffkit.core.schedule import Schedule
from diffkit.core.variance import WithVariance
from diffkit.standard.grids import Uniform
from diffkit.standard.samplers.ddpm import Ddpm
from diffkit.standard.schedules import Cosine, Edm, Linear
from diffkit.testing.oracle import Gaussian, denoiser

DATA = Gaussian.random(3)


def walk(sampler: Ddpm, schedule: Schedule, v: float | None) -> list[Tensor]:
    times = Uniform(6)(schedule)
    g = torch.Generator().manual_seed(1)
    x = torch.randn(4, 3, generator=g, dtype=torch.float64)
    plain = denoiser(DATA, schedule)
    given = plain if v is None else WithVariance(lambda x, t: (plain(x, t), torch.full_like(x, v)))
    noise = lambda x: torch.randn(x.shape, generator=g, dtype=torch.float64)  # noqa: E731
    return [state.x for state in drive(sampler, given, schedule, x, times, noise)]


@pytest.mark.parametrize("schedule", [Linear(), Cosine(), Edm()], ids=str)
def test_the_ends_of_the_range_are_small_and_large(schedule: Schedule) -> None:
    for variance, v in (("small", -1.0), ("large", 1.0)):
        known = walk(Ddpm(variance), schedule, None)  # type: ignore[arg-type]
        torch.testing.assert_close(walk(Ddpm("learned"), schedule, v), known)


def test_the_best_variance_is_exact_in_any_number_of_steps() -> None:
    """For normal data p(x_s | x_t) is normal: with its variance, samples have that of the data after five steps."""
    schedule, variance = Cosine(), torch.tensor(0.3, dtype=torch.float64)
    data = Gaussian(torch.zeros(1).double(), torch.eye(1).double(), variance[None])
    times = Uniform(5)(schedule)

    def best(x: Tensor, t: Tensor) -> Tensor:
        """v with which the variance of the step is small + (weight of x_0 in the mean)^2 var(x_0 | x_t)."""
        s = times[(times == t).nonzero()[0, 0] + 1]
        (alpha_t, sigma_t), (alpha_s, sigma_s) = schedule(t), schedule(s)
        fresh = 1 - (sigma_s * alpha_t / (alpha_s * sigma_t)) ** 2
        small, pull = sigma_s**2 * fresh, alpha_s * fresh
        range_ = torch.log((1 + (alpha_s / sigma_s) ** 2) / (1 + (alpha_t / sigma_t) ** 2))
        unknown = variance * sigma_t**2 / (alpha_t**2 * variance + sigma_t**2)
        return torch.full_like(x, (2 * torch.log1p(pull**2 * unknown / small) / range_ - 1).nan_to_num(0.0).item())

    plain, errors = denoiser(data, schedule), {}
    for name in ("small", "large", "learned"):
        g = torch.Generator().manual_seed(0)
        noise = lambda x, g=g: torch.randn(x.shape, generator=g, dtype=torch.float64)  # noqa: E731
        x = noise(torch.empty(40000, 1))
        given = WithVariance(lambda x, t: (plain(x, t), best(x, t)))
        *_, before, _ = drive(Ddpm(name), given, schedule, x, times, noise)  # type: ignore[arg-type]
        alpha, sigma = schedule(times[-2])  # the step to 0 adds no noise, and is exact for no variance
        errors[name] = (before.x.var() / (alpha**2 * variance + sigma**2) - 1).abs().item()
    assert errors["learned"] < 0.02 < 0.05 < min(errors["small"], errors["large"])


def test_one_call_a_step_and_one_sentence_without_v() -> None:
    times = Uniform(6)(Cosine())
    assert calls(Ddpm("learned"), Cosine(), times) == 6
    assert calls(Ddpm("small"), Cosine(), times, variance=False) == 6
    with pytest.raises(DiffkitError, match=r"has not learned.*learn_variance=true"):
        calls(Ddpm("learned"), Cosine(), times, variance=False)
