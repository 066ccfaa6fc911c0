"""How fast a sampler's error falls with the number of steps, against exact answers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf, log
from statistics import linear_regression
from typing import Any

from diffkit.core.sampler import Sampler
from diffkit.testing.contracts.moments import Moments, moments
from diffkit.testing.contracts.require import require
from diffkit.testing.contracts.walk import (
    Quarter,
    draws_noise,
    gaussian,
    mixture,
    run,
    solution,
    start,
    times_of,
    uneven_times,
)

LOGSNR = (-13.0, 3.0)
"""Where the order is measured: from where x_0 hardly changes, so that a multistep method may start with a low order,
to where the modes are apart. The last step, to sigma = 0, is not in it: it is of first order for many."""
STEPS = (90, 128, 180)
"""Numbers of steps for each declared order: there the slope is the order, and the error is above float64's."""
DRAWN = (64, 90, 128)
"""The same for the moments of samplers that draw noise: their order is 3 at most, and each draw costs a row."""
ROWS = 32
FLOOR = 1e-11
"""Smaller errors are those of the exact solution and of float64."""
MARGIN = 0.15
"""The observed order may be this far from the declared one."""

SIGNAL = (-3.0, 3.0)
"""The log-SNRs between which the variance at 80 steps is judged: sigma / alpha from 4.5 to 0.22."""
WIDTH = {1: 0.25}
"""The largest relative error of the variance at 80 steps; 0.1 % from order 2 on."""
ADAPTIVE = 100.0
"""The error of an adaptive sampler may be this many times its relative tolerance."""


@dataclass(frozen=True)
class Convergence:
    """What was measured of a sampler."""

    stochastic: bool
    order: float | None
    """Minus the slope of log(error) against log(steps); None where it cannot be had."""
    moments: Moments | None = None
    """The errors at 80 steps of a sampler that draws noise."""
    error: tuple[float, ...] = ()
    """The error of an adaptive sampler, at its own tolerance and at a hundredth of it."""


def convergence(sampler: Sampler) -> Convergence:
    """The order of the solution, of the distribution where noise is drawn, or the error of an adaptive sampler."""
    if draws_noise(sampler):
        times = times_of(Quarter(), 81, *SIGNAL)
        final = moments(sampler, Quarter(), times, gaussian(), 80)
        exact = final.worst is not None
        return Convergence(True, slope(DRAWN, [_moment_error(sampler, n) for n in DRAWN]) if exact else None, final)
    if sampler.calls_per_step is None:
        return Convergence(False, None, error=tuple(flow_error(s, 20) for s in (sampler, _tightened(sampler))))
    steps = [n * sampler.order for n in STEPS]
    return Convergence(False, slope(steps, [flow_error(sampler, n) for n in steps]))


def slope(steps: Sequence[int], errors: Sequence[float]) -> float:
    """Minus the slope of log(error) against log(steps) by least squares; infinite where no error is left to fall."""
    points = [(log(n), log(e)) for n, e in zip(steps, errors, strict=True) if e > FLOOR]
    return -linear_regression(*zip(*points, strict=True)).slope if len(points) > 1 else inf


def flow_error(sampler: Sampler, steps: int) -> float:
    """The distance from the exact solution of the mixture's probability flow (root mean square) before the last step.

    In units of the data's spread, which is about 1.
    """
    times, x = uneven_times(Quarter(), steps, *LOGSNR), start(ROWS, 2)
    states = run(sampler, Quarter(), times, x, oracle=mixture())
    exact = solution(mixture(), Quarter(), ROWS, times[0].item(), times[steps].item())
    return (states[steps - 1].x - exact).square().mean().sqrt().item()


def _moment_error(sampler: Sampler, steps: int) -> float:
    """The largest of the relative errors of the mean and of the variances, before the last step."""
    found = moments(sampler, Quarter(), uneven_times(Quarter(), steps, *LOGSNR), gaussian(), steps)
    return max(found.mean.value, found.worst or 0.0)


def allowance(sampler: Sampler) -> float:
    """What an adaptive sampler may be off by, since its steps depend on its batch; 0 for any other.

    One that draws noise has no tolerance: where it declares no calls_per_step, they depend on the grid.
    """
    adaptive = sampler.calls_per_step is None and not draws_noise(sampler)
    return ADAPTIVE * _tolerance(sampler) if adaptive else 0.0


def _tolerance(sampler: Sampler) -> float:
    rtol = getattr(sampler, "rtol", None)
    require(isinstance(rtol, float), sampler, "declares no calls_per_step, so that it must have a tolerance `rtol`")
    return float(rtol or 0.0)


def _tightened(sampler: Any) -> Any:
    """The sampler with a hundredth of its tolerances."""
    tolerances = {name: getattr(sampler, name) / 100 for name in ("rtol", "atol") if name in vars(sampler)}
    return replace(sampler, **tolerances)


def check_order(sampler: Sampler, found: Convergence) -> None:
    """The slope is the declared order, or the error of an adaptive sampler within its tolerance.

    The moments on normal data may converge faster than declared, since these data are a linear problem.
    """
    for error, tolerance in zip(found.error, (1.0, 0.01), strict=False):
        limit = allowance(sampler) * tolerance
        said = (
            f"is off by {error:.2g} with a relative tolerance of {limit / ADAPTIVE:g}, more than {ADAPTIVE:g} times it"
        )
        require(error <= limit, sampler, said)
    if found.order is None:
        return
    low, high = sampler.order - MARGIN, inf if found.stochastic else sampler.order + MARGIN
    steps = DRAWN if found.stochastic else tuple(n * sampler.order for n in STEPS)
    said = (
        f"has order {found.order:.2f}, declared {sampler.order}: the fitted slope of log(error"
        f"{' of the moments' if found.stochastic else ''}) against log(steps), over {', '.join(map(str, steps))} steps;"
        f" allowed is {low:.2f} {'or more' if found.stochastic else f'to {high:.2f}'}"
    )
    require(low <= found.order <= high, sampler, said)


def check_moments(sampler: Sampler, found: Convergence) -> None:
    """The variance of samples that are drawn with noise is nearly that of the data."""
    if found.moments:
        off, limit = found.moments.variance, WIDTH.get(sampler.order, 1e-3)
        kept = abs(off.value) - off.half <= limit
        require(kept, sampler, f"has a variance that is off by {off} of it at 80 steps, more than {limit:g}")
