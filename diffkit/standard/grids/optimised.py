"""The grid that is fitted to a model and a sampler."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.optimize import least_squares
from torch import Tensor

from diffkit.core.grid import FittedGrid, Grid
from diffkit.core.sampler import Denoiser, Sampler, drive
from diffkit.core.schedule import LOGSNR_LIMIT, Schedule
from diffkit.core.types import Count
from diffkit.standard.grids.levels import Flow
from diffkit.standard.grids.span import LogSnrValue
from diffkit.standard.grids.tabulated import Tabulated
from diffkit.standard.samplers.abm import Abm

Vector = NDArray[np.float64]
_TILTS = (0.0, 2.5)  # of the two starts: steps of equal length, and steps that shrink to a twelfth
_STEP = 0.03  # of the finite differences: far above the rounding of a network in float32


@dataclass(frozen=True)
class Optimised(FittedGrid):
    r"""The times at which the sampler's own samples come closest to the exact solution for the model at hand.

    A few samples (`rows`) of the model's probability-flow ODE are solved with `exact` steps. Then least squares
    (Levenberg-Marquardt, by finite differences: the network is only called, not differentiated) finds the times whose
    end points are the nearest to theirs. The lengths of the steps, in $\sigma / (\alpha + \sigma)$, are the
    exponential of a function with `knots` corners, so that the number of unknowns does not grow with the steps. Until
    it is fitted, as in previews during training, or where nothing better is found, it is the `flow` grid.

    Fitting takes up to 2 * `iterations` * (`knots` + 1) * `steps` calls of the network on `rows` samples each time that
    samples are drawn; in Python, `Pipeline.fit_grid` does it once. For deterministic samplers, fitted without
    condition and guidance. With `chain`, in the end the nearest steps of a discrete chain.
    Tong et al. 2024, Learning to Discretize Denoising Diffusion ODEs, who differentiate through the sampler.
    """

    steps: Count = 20
    logsnr_min: LogSnrValue = -9.0
    knots: Count = 10
    rows: Count = 16
    exact: Count = 200
    iterations: Count = 12
    chain: Count | None = None

    def __call__(self, schedule: Schedule) -> Float[Tensor, " n"]:
        """See `Grid`."""
        return self._start(self.steps, self.chain)(schedule)

    def _start(self, steps: int, chain: int | None = None) -> Flow:
        return Flow(steps, logsnr_min=self.logsnr_min, chain=chain)

    def fit(
        self,
        denoise: Denoiser,
        schedule: Schedule,
        sampler: Sampler,
        x: Float[Tensor, " b *d"],
    ) -> Grid:
        """See `FittedGrid`."""
        first = _place(schedule, self(schedule)[0])
        unknowns = min(self.knots, self.steps - 1)

        def end(solver: Sampler, times: Tensor) -> Tensor:
            last = x
            for state in drive(solver, denoise, schedule, x, times, torch.zeros_like):
                last = state.x
            return last

        def grid(corners: Vector) -> Tabulated:
            return Tabulated(tuple(_logsnr(first * _left(corners, self.steps)).tolist()), self.steps, self.chain)

        exact = end(Abm(order=4), self._start(self.exact)(schedule))
        scale = (end(sampler, self._start(self.steps)(schedule)) - exact).norm().item()

        def residual(corners: Vector) -> Vector:
            times = replace(grid(corners), chain=None)(schedule)
            error: Vector = ((end(sampler, times) - exact).flatten() / scale).double().cpu().numpy()
            return np.nan_to_num(error, nan=1e3, posinf=1e3, neginf=-1e3)

        def slopes(corners: Vector) -> Vector:
            here = residual(corners)
            return np.stack([(residual(corners + d) - here) / _STEP for d in _STEP * np.eye(unknowns)], 1)

        starts = [np.linspace(0, -tilt, unknowns) for tilt in _TILTS] if unknowns and scale else []
        found = [least_squares(residual, start, slopes, max_nfev=self.iterations, ftol=1e-3) for start in starts]
        best = min(found, key=lambda fit: fit.cost, default=None)
        # half the sum of squares, in units of the error that it starts from
        return self._start(self.steps, self.chain) if best is None or best.cost >= 0.5 else grid(best.x)


def _left(corners: Vector, steps: int) -> Vector:
    """The share of the way that is left before each step."""
    where = (np.arange(steps) + 0.5) / steps
    lengths: Vector = np.exp(np.interp(where, np.linspace(0, 1, len(corners) + 1), np.append(corners, 0.0)))
    left: Vector = 1 - np.concatenate([[0.0], lengths.cumsum()[:-1]]) / lengths.sum()
    return left


def _place(schedule: Schedule, t: Tensor) -> float:
    """Sigma / (alpha + sigma)."""
    alpha, sigma = schedule(t)
    return (sigma / (alpha + sigma)).item()


def _logsnr(place: Vector) -> Vector:
    logsnr: Vector = np.clip(2 * np.log((1 - place) / place), -LOGSNR_LIMIT, LOGSNR_LIMIT)
    return logsnr
