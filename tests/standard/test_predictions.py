"""Predictions against their contract, and against the targets in their papers."""

from collections.abc import Callable

import pytest
import torch
from parts import every
from torch import Tensor

from diffkit.core.prediction import Prediction
from diffkit.standard.predictions import X0, Edm, Eps, Flow, Score, V
from diffkit.testing import check_prediction
from diffkit.testing.contracts.prediction import levels


@pytest.mark.parametrize("prediction", [*every("prediction"), Edm(0.5), Edm(3.0)])
def test_contract(prediction: Prediction) -> None:
    check_prediction(prediction)


def edm_target(alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """F = (x_0 - c_skip x) / c_out with EDM's coefficients for x_0 + s eps and data of unit variance."""
    s = sigma / alpha
    return s / (s**2 + 1).sqrt(), -1 / (s**2 + 1).sqrt()


TEXTBOOK: dict[Prediction, Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]] = {
    Eps(): lambda a, s: (0 * a, 0 * a + 1),
    X0(): lambda a, s: (0 * a + 1, 0 * a),
    V(): lambda a, s: (-s, a),
    Flow(): lambda a, s: (0 * a - 1, 0 * a + 1),
    Edm(): edm_target,
    Score(): lambda a, s: (0 * a, 0 * a - 1),  # sigma times the gradient of -|x_t - alpha x_0|^2 / (2 sigma^2)
}


@pytest.mark.parametrize("prediction", TEXTBOOK)
def test_target_is_the_textbooks_to_all_digits(prediction: Prediction) -> None:
    """(a, b) with F = a x_0 + b eps, relative to 1e-6 even where one of the two is 4.5e-5."""
    _, alpha, sigma = levels()
    got, wanted = prediction.target(alpha, sigma), TEXTBOOK[prediction](alpha, sigma)
    for a, b in zip(got, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-10)


def test_target_of_v_and_edm_has_unit_variance() -> None:
    _, alpha, sigma = levels()
    for prediction in (V(), Edm()):
        of_x, of_eps = prediction.target(3 * alpha, 3 * sigma)
        torch.testing.assert_close(of_x.square() + of_eps.square(), torch.ones_like(alpha))


def test_edm_is_minus_v_for_data_of_unit_variance() -> None:
    _, alpha, sigma = levels()
    torch.testing.assert_close(Edm()(alpha, sigma)[0], V()(alpha, sigma)[0])
    torch.testing.assert_close(Edm()(alpha, sigma)[1], -V()(alpha, sigma)[1])


def test_edm_is_karras_preconditioning() -> None:
    s, d = torch.tensor([0.002, 0.5, 80.0], dtype=torch.float64), 0.5
    c_skip, c_out = Edm(d)(torch.ones_like(s), s)
    torch.testing.assert_close(c_skip, d**2 / (s**2 + d**2))
    torch.testing.assert_close(c_out, s * d / (s**2 + d**2).sqrt())
