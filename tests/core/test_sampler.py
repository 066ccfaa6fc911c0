"""The driver, the prior, and the number of calls."""

import pytest
import torch

from diffkit.core.sampler import Sampler, calls, drive, prior
from diffkit.standard.grids import Uniform
from diffkit.standard.samplers.ddim import Ddim
from diffkit.standard.samplers.heun import Heun
from diffkit.standard.schedules import Cosine, Edm, Linear

TIMES = Uniform(5)(Cosine())


@pytest.mark.parametrize(("sampler", "wanted"), [(Ddim(), 5), (Heun(), 9)], ids=str)
def test_calls_are_known_ahead(sampler: Sampler, wanted: int) -> None:
    assert calls(sampler, Cosine(), TIMES) == wanted


def test_drive_has_no_gradients_and_leaves_the_readers_alone() -> None:
    weight = torch.ones((), requires_grad=True)
    for state in drive(Ddim(), lambda x, t: weight * x, Cosine(), torch.ones(2, 2), TIMES, torch.randn_like):
        assert not state.x.requires_grad
        assert torch.is_grad_enabled()


def test_drive_stops_when_its_reader_does() -> None:
    asked = []

    def denoise(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        asked.append(t)
        return x

    next(drive(Ddim(), denoise, Cosine(), torch.ones(2, 2), TIMES, torch.randn_like))
    assert len(asked) == 1


@pytest.mark.parametrize("schedule", [Linear(), Cosine(), Edm()], ids=str)
def test_prior_has_the_variance_of_x_t(schedule: Linear | Cosine | Edm) -> None:
    """For data of unit variance, at a start in the middle of the path."""
    times, z = torch.tensor([0.5, 0.0]).double(), torch.ones(1, 3, dtype=torch.float64)
    alpha, sigma = schedule(times[0])
    torch.testing.assert_close(prior(schedule, times, z).square(), (alpha**2 + sigma**2) * z)
