"""Guidance of normal data: the guided denoiser is linear, and the moments of its samples solve a linear equation.

The matrices are written here anew, from the definitions of the guidances.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.integrate import solve_ivp
from torch import Tensor

from diffkit.core.condition import Condition
from diffkit.core.cost import Cost, cost
from diffkit.core.guidance import Branches, Guidance, guide, told
from diffkit.core.sampler import drive, prior
from diffkit.standard.grids.levels import LogSnr
from diffkit.standard.samplers.dpmpp_2m import DpmPp2M
from diffkit.testing.contracts.walk import Quarter

ROWS, STEPS = 8, 300
QUARTER = Quarter()
GRID = LogSnr(steps=STEPS, logsnr_min=-12.0, logsnr_max=12.0)
Matrix = NDArray[np.float64]
Law = Callable[[float, float], tuple[Matrix, Matrix]]
"""`(alpha, sigma) -> (A, b)` of a denoiser x_0 = A x + b."""


@dataclass(frozen=True)
class Normal:
    """Normal data (d,) and their exact denoiser."""

    mean: Matrix
    covariance: Matrix

    def law(self, alpha: float, sigma: float) -> tuple[Matrix, Matrix]:
        """A and b of the exact denoiser."""
        unit = np.eye(len(self.mean))
        a = alpha * self.covariance @ np.linalg.inv(alpha**2 * self.covariance + sigma**2 * unit)
        return a, (unit - alpha * a) @ self.mean

    def denoise(self, x_t: Tensor, t: Tensor) -> Tensor:
        """The exact denoiser."""
        a, b = self.law(*(float(v) for v in QUARTER(t)))
        return x_t @ torch.from_numpy(a).T + torch.from_numpy(b)


TOLD = Normal(np.array([0.7, -0.3]), np.array([[0.5, 0.2], [0.2, 0.3]]))
NULL = Normal(np.array([-0.2, 0.1]), np.array([[1.2, -0.1], [-0.1, 0.9]]))
WORSE = Normal(np.array([0.5, -0.1]), np.array([[0.9, 0.1], [0.1, 0.7]]))
WHO = Condition(vector=torch.zeros(1, 1)), Condition(vector=torch.ones(1, 1))
"""The condition that was told, and the null."""


def model(x_t: Tensor, t: Tensor, condition: Condition, who: Sequence[Normal] = (TOLD, NULL)) -> Tensor:
    """The exact answer for each row: of the first where the condition is 0, of the second where it is 1."""
    assert condition.vector is not None
    which = condition.vector[:, :1]
    answers = [normal.denoise(x_t, t) for normal in who]
    return torch.where(which == 0, *answers)


def wide(rows: int) -> tuple[Condition, Condition]:
    """Condition and null for so many rows."""
    first, second = (c.map(lambda a: a.expand(rows, 1)) for c in WHO)
    return first, second


def sampled(guidances: Sequence[Guidance], who: Sequence[Normal] = (TOLD, NULL)) -> tuple[Matrix, Matrix]:
    """Mean and covariance of samples from noise whose own are exactly 0 and 1: a linear map adds no chance."""
    condition, null = wide(ROWS)
    branches = Branches(lambda x, t, c: model(x, t, c, who), null, QUARTER)
    times = GRID(QUARTER)
    noise = torch.randn(ROWS, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    noise = torch.linalg.qr(noise - noise.mean(0))[0] * (ROWS - 1) ** 0.5
    x = prior(QUARTER, times, noise)
    for state in drive(DpmPp2M(), told(guide(guidances, branches), condition), QUARTER, x, times, torch.zeros_like):
        x = state.x
    return x.mean(0).numpy(), np.cov(x.numpy().T)


def solved(law: Law) -> tuple[Matrix, Matrix]:
    r"""Mean and covariance of the exact flow: with x_t = cos(a) x_0 + sin(a) eps, dx/da = (cos(a) x - x_0) / sin(a)."""
    angles = [float(np.arctan2(*(float(v) for v in reversed(QUARTER(t))))) for t in GRID(QUARTER)[[0, -2]]]

    def slope(angle: float, flat: Matrix) -> Matrix:
        alpha, sigma = np.cos(angle), np.sin(angle)
        a, b = law(alpha, sigma)
        mean, covariance = flat[:2], flat[2:].reshape(2, 2)
        k = (alpha * np.eye(2) - a) / sigma
        return np.concatenate([k @ mean - b / sigma, (k @ covariance + covariance @ k.T).ravel()])

    start = np.concatenate([np.zeros(2), np.eye(2).ravel()])
    end = solve_ivp(slope, angles, start, method="DOP853", rtol=1e-10, atol=1e-12).y[:, -1]
    a, b = law(float(np.cos(angles[1])), float(np.sin(angles[1])))  # the last step is to the denoiser's answer
    return a @ end[:2] + b, a @ end[2:].reshape(2, 2) @ a.T


def agree(found: tuple[Matrix, Matrix], wanted: tuple[Matrix, Matrix], error: float = 2e-3) -> None:
    """Both moments are right, but for the error of so many steps."""
    np.testing.assert_allclose(found[0], wanted[0], atol=error)
    np.testing.assert_allclose(found[1], wanted[1], atol=error)


def price(*guidances: Guidance) -> Cost:
    """What a sample costs with these, for a model that is told something."""
    return cost(DpmPp2M(), guidances, QUARTER, GRID(QUARTER), (2,), True, False)
