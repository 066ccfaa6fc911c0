"""Contracts of the parts without tensors: schedules, predictions, grids, densities, weightings."""

from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from diffkit.core.grid import Grid
from diffkit.core.objective import AdaptiveDensity, TimeDensity, Weighting
from diffkit.core.prediction import Prediction
from diffkit.core.schedule import LOGSNR_LIMIT, Schedule
from diffkit.testing.contracts.require import require, require_close


def levels(n: int = 81) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"], Float[Tensor, " n"]]:
    """Rising log-SNRs within their limit, and a variance-preserving alpha and sigma for each."""
    logsnr = torch.linspace(-LOGSNR_LIMIT, LOGSNR_LIMIT, n, dtype=torch.float64)
    return logsnr, torch.sigmoid(logsnr).sqrt(), torch.sigmoid(-logsnr).sqrt()


def check_schedule(schedule: Schedule) -> None:
    """All data at t = 0, a log-SNR that falls strictly, an inverse, float64, the same for one time as for many."""
    _check_value(schedule)
    t = torch.cat([torch.logspace(-9, -2, 40, dtype=torch.float64), torch.linspace(0, 1, 1001, dtype=torch.float64)])
    t = torch.unique(t)
    alpha, sigma = schedule(t)
    require(alpha.dtype == sigma.dtype == torch.float64, schedule, f"alpha is {alpha.dtype}, sigma {sigma.dtype}")
    require(alpha.shape == sigma.shape == t.shape, schedule, f"alpha {alpha.shape}, sigma {sigma.shape} for {t.shape}")
    require(bool((alpha >= 0).all() and (sigma >= 0).all()), schedule, "alpha or sigma is below 0")
    start = alpha[0].item(), sigma[0].item()
    require(start == (1.0, 0.0), schedule, f"(alpha_0, sigma_0) is {start}, not (1, 0)")
    logsnr = schedule.logsnr(t)
    rising = (logsnr.diff() >= 0).nonzero().flatten().tolist()
    require(not rising, schedule, f"log-SNR does not fall after t = {t[rising[:3]].tolist()}")
    inner = t[(logsnr.abs() < LOGSNR_LIMIT)]
    require_close(schedule, "time(logsnr(t)) / t", schedule.time(schedule.logsnr(inner)) / inner, inner / inner, 1e-8)
    one = torch.stack([torch.stack(schedule(s)) for s in t[::100]], 1)
    require_close(schedule, "(alpha, sigma) of one time", one, torch.stack((alpha, sigma))[:, ::100], 1e-15)


def check_prediction(prediction: Prediction) -> None:
    """Homogeneous; and the data are found again from x_t and the network's exact output, at any log-SNR."""
    _check_value(prediction)
    _, alpha, sigma = levels()
    c_skip, c_out = prediction(alpha, sigma)
    for k in (0.01, 300.0):
        scaled = prediction(k * alpha, k * sigma)
        require_close(prediction, f"c_skip for {k:g} times (alpha, sigma)", k * scaled[0] / c_skip.clamp(min=1e-300),
                      c_skip / c_skip.clamp(min=1e-300), 1e-12)  # fmt: skip
        require_close(prediction, f"c_out for {k:g} times (alpha, sigma)", scaled[1] / c_out, c_out / c_out, 1e-12)
    of_x, of_eps = prediction.target(alpha, sigma)
    size = c_skip.abs() * (alpha + sigma) + 1  # what is subtracted from what
    require_close(prediction, "x_0 of the exact output", (c_skip * alpha + c_out * of_x) / size, 1 / size, 1e-12)
    require_close(prediction, "the noise left in x_0", (c_skip * sigma + c_out * of_eps) / size, 0 * size, 1e-12)


def check_grid(grid: Grid, schedule: Schedule) -> None:
    """`steps + 1` strictly falling times in [0, 1], in float64, that end at 0 and start within the log-SNR's limit."""
    _check_value(grid)
    for steps in (1, 2, 3, 20, 100):
        times = replace(grid, steps=steps)(schedule)  # type: ignore[type-var]  # a grid is a dataclass
        at = f"with {steps} steps on {schedule}"
        require(times.shape == (steps + 1,), grid, f"{len(times)} times {at}")
        require(times.dtype == torch.float64, grid, f"times are {times.dtype} {at}")
        require(bool((times.diff() < 0).all()), grid, f"times do not fall {at}: {times.tolist()[:8]}")
        require(times[-1].item() == 0, grid, f"the last time is {times[-1].item()}, not 0 {at}")
        first = schedule.logsnr(times[0]).item()
        require(times[0].item() <= 1, grid, f"the first time is {times[0].item()} {at}")
        require(first >= -LOGSNR_LIMIT - 1e-6, grid, f"the log-SNR starts at {first:.4g} {at}")


def check_density(density: TimeDensity, schedule: Schedule) -> None:
    """Finite float64 times in [0, 1] for any u in [0, 1), which is not written into.

    An adaptive one's objective stays that of uniform times, whatever losses it has seen.
    """
    if isinstance(density, AdaptiveDensity):
        _check_unbiased(density, schedule)
    _check_value(density)
    u = torch.cat(
        [torch.tensor([0.0, 1e-16, 1 - 2**-53], dtype=torch.float64), torch.linspace(1e-6, 1 - 1e-6, 997).double()]
    )
    before = u.clone()
    t = density(schedule, u)
    require(t.shape == u.shape and t.dtype == torch.float64, density, f"t is {t.dtype}, {tuple(t.shape)}")
    require(bool(((t >= 0) & (t <= 1)).all()), density, f"t runs from {t.min()} to {t.max()} on {schedule}")
    require(bool((u == before).all()), density, "u was written into")


def _check_unbiased(density: AdaptiveDensity, schedule: Schedule) -> None:
    """The corrected mean of t² is 1/3, before and after it has seen losses that grow with time."""
    u = (torch.arange(20000, dtype=torch.float64) + 0.5) / 20000
    for seen in ("no losses", "losses"):
        t = density(schedule, u)
        mean = (density.correction(t) * t.square()).mean()
        require_close(density, f"the corrected mean of t² after {seen}", mean, torch.full_like(mean, 1 / 3), 5e-3)
        density.observe(u, 0.1 + u.square())


def check_weighting(weighting: Weighting) -> None:
    """Finite factors, not negative, at any log-SNR and for the c_out of a bounded and of an unbounded prediction."""
    _check_value(weighting)
    logsnr, alpha, sigma = levels()
    for c_out in (torch.ones_like(sigma), -sigma, -sigma / alpha):
        w = weighting(logsnr, c_out)
        require(w.shape == logsnr.shape, weighting, f"{tuple(w.shape)} factors for {tuple(logsnr.shape)} rows")
        require(bool(torch.isfinite(w).all() and (w >= 0).all()), weighting, f"factors from {w.min()} to {w.max()}")


def _check_value(part: Any) -> None:
    """A part without tensors is an immutable value: equal to a copy of itself, and fit to be the key of a cache."""
    if isinstance(part, nn.Module):
        return
    again = replace(part)
    require(part == again and hash(part) == hash(again), part, "is not a frozen dataclass of plain values")
