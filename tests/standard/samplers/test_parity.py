"""The standard samplers against independent implementations, on a mixture and every schedule."""

from collections.abc import Callable

import pytest
import torch
from parts import SCHEDULES
from standard.samplers import independent
from torch import Tensor

from diffkit.core.noise import Noise
from diffkit.core.sampler import Sampler, drive
from diffkit.core.schedule import Schedule
from diffkit.standard.grids import Karras
from diffkit.standard.samplers.ddim import Ddim
from diffkit.standard.samplers.ddpm import Ddpm
from diffkit.standard.samplers.dpmpp_2m import DpmPp2M
from diffkit.standard.samplers.heun import Heun
from diffkit.standard.schedules import Cosine
from diffkit.testing.oracle import Mixture, denoiser

ORACLE = Mixture.circle()


def denoise(y: Tensor, r: float) -> Tensor:
    return ORACLE.x_0(y, 1.0, r)


def ours(sampler: Sampler, schedule: Schedule, times: Tensor) -> tuple[Tensor, Tensor]:
    """The start and the sample."""
    _, sigma = schedule(times[0])
    x = torch.randn(16, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * sigma
    return x, [*drive(sampler, denoiser(ORACLE, schedule), schedule, x, times, Noise(0, range(16)))][-1].x


def noises(n: int) -> list[Tensor]:
    noise = Noise(0, range(16))
    return [noise(torch.empty(16, 2, dtype=torch.float64)) for _ in range(n)]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
@pytest.mark.parametrize(
    ("sampler", "other"),
    [
        (Heun(), independent.heun),
        (DpmPp2M(), independent.dpmpp_2m),
    ],
    ids=["heun", "dpmpp_2m"],
)
def test_in_noise_levels(
    sampler: Sampler, other: Callable[[independent.D, Tensor, list[float]], Tensor], schedule: Schedule
) -> None:
    times = Karras(12, 7.0, -7.0, 10.0)(schedule)
    alpha, sigma = schedule(times)
    x, sample = ours(sampler, schedule, times)
    torch.testing.assert_close(sample, other(denoise, x / alpha[0], (sigma / alpha).tolist()), rtol=0, atol=1e-9)


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_ddim(eta: float) -> None:
    times = Karras(12)(Cosine())
    x, sample = ours(Ddim(eta), Cosine(), times)
    bars = Cosine()(times)[0].square().tolist()
    torch.testing.assert_close(sample, independent.ddim(denoise, x, bars, eta, noises(12)), rtol=0, atol=1e-9)


@pytest.mark.parametrize("variance", ["small", "large"])
def test_ddpm(variance: str) -> None:
    times = Karras(12)(Cosine())
    x, sample = ours(Ddpm(variance), Cosine(), times)  # type: ignore[arg-type]
    bars = Cosine()(times)[0].square().tolist()
    other = independent.ddpm(denoise, x, bars, noises(12), variance == "large")
    torch.testing.assert_close(sample, other, rtol=0, atol=1e-9)


def test_ddim_with_all_the_noise_is_ddpm() -> None:
    times = Karras(12)(Cosine())
    torch.testing.assert_close(ours(Ddim(1.0), Cosine(), times)[1], ours(Ddpm("small"), Cosine(), times)[1])
