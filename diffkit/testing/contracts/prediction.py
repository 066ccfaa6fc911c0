"""Contracts of predictions."""

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core.prediction import Prediction
from diffkit.core.schedule import LOGSNR_LIMIT
from diffkit.testing.contracts.hold import hold, table
from diffkit.testing.contracts.require import require, require_close
from diffkit.testing.contracts.value import check_value


def levels(n: int = 81) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"], Float[Tensor, " n"]]:
    """Rising log-SNRs within their limit, and a variance-preserving alpha and sigma for each."""
    logsnr = torch.linspace(-LOGSNR_LIMIT, LOGSNR_LIMIT, n, dtype=torch.float64)
    return logsnr, torch.sigmoid(logsnr).sqrt(), torch.sigmoid(-logsnr).sqrt()


def value(prediction: Prediction) -> None:
    """A prediction is a frozen dataclass of plain values, equal to a copy of itself."""
    check_value(prediction)


def float64(prediction: Prediction) -> None:
    """c_skip and c_out are float64, of the shape of alpha, and finite at any log-SNR from -20 to 20; c_out is not 0."""
    logsnr, alpha, sigma = levels()
    given = alpha.clone(), sigma.clone()
    for name, c in zip(("c_skip", "c_out"), prediction(*given), strict=True):
        require(c.dtype == torch.float64, prediction, f"{name} is {c.dtype}, not torch.float64")
        require(c.shape == alpha.shape, prediction, f"{name} is of shape {tuple(c.shape)} for {tuple(alpha.shape)}")
        wrong = (~c.isfinite() | ((c == 0) & (name == "c_out"))).nonzero().flatten().tolist()[:1]
        said = [f"{name} is {c[i]:g} at a log-SNR of {logsnr[i]:g}" for i in wrong]
        require(not wrong, prediction, "".join(said))
    kept = bool((given[0] == alpha).all() and (given[1] == sigma).all())
    require(kept, prediction, "alpha or sigma was written into")


def homogeneous(prediction: Prediction) -> None:
    """Alpha and sigma times k make c_skip 1/k of what it was, and leave c_out alone: only the log-SNR counts."""
    _, alpha, sigma = levels()
    c_skip, c_out = prediction(alpha, sigma)
    for k in (0.01, 300.0):
        skip, out = prediction(k * alpha, k * sigma)
        size = c_skip.abs().clamp(min=1e-300)
        of = f"for {k:g} times (alpha, sigma)"
        require_close(prediction, f"{k:g} c_skip {of}, by c_skip before,", k * skip / size, c_skip / size, 1e-12)
        require_close(prediction, f"c_out {of}, by c_out before,", out / c_out, torch.ones_like(c_out), 1e-12)


def inverse(prediction: Prediction) -> None:
    """x_0 is found again, and no noise is left in it, from x_t and the network's exact output at any log-SNR."""
    _, alpha, sigma = levels()
    c_skip, c_out = prediction(alpha, sigma)
    of_x, of_eps = prediction.target(alpha, sigma)
    size = c_skip.abs() * (alpha + sigma) + 1  # what is subtracted from what
    found, left = c_skip * alpha + c_out * of_x, c_skip * sigma + c_out * of_eps
    require_close(prediction, "the factor of x_0 in what is found for it", found / size, 1 / size, 1e-12)
    require_close(prediction, "the factor of the noise in what is found for x_0", left / size, 0 * size, 1e-12)


PREDICTION = table(value, float64, homogeneous, inverse)


def check_prediction(prediction: Prediction) -> None:
    """Hold a prediction against its contracts; raises `AssertionError` with what broke and what was measured."""
    hold(PREDICTION, prediction)
