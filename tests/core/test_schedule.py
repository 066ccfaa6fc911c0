"""What every schedule has by itself: log-SNR, its inverse, and the span that networks see."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from diffkit.core.schedule import Schedule


@dataclass(frozen=True)
class Logistic(Schedule):
    """Variance-preserving, with log-SNR = k log((1 - t) / t): its inverse is known."""

    k: float

    def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
        logsnr = self.k * (torch.log1p(-t) - t.log())
        return torch.sigmoid(logsnr).sqrt(), torch.sigmoid(-logsnr).sqrt()


@pytest.mark.parametrize("k", [1.0, 2.0, 8.0])
def test_time_inverts_logsnr(k: float) -> None:
    logsnr = torch.linspace(-6, 20, 53, dtype=torch.float64)
    t = Logistic(k).time(logsnr)
    torch.testing.assert_close(t, torch.sigmoid(-logsnr / k), rtol=1e-9, atol=0)
    torch.testing.assert_close(Logistic(k).logsnr(t), logsnr)


def test_ends() -> None:
    assert Logistic(2.0).logsnr(torch.tensor([0.0, 1.0]).double()).tolist() == [float("inf"), float("-inf")]
    assert Logistic(2.0).span() == pytest.approx((4.5397868702434395e-05, 1 - 4.5397868702434395e-05), rel=1e-12)
