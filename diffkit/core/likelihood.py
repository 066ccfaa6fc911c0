r"""log p of a model, by the probability-flow ODE.

On the variance-preserving path of the same log-SNR, which is what any schedule becomes when x_t is divided by its
deviation, and in the log-SNR $\lambda$ itself,

$$ \frac{dy}{d\lambda} = f = \frac{a}{2} (\hat x_0 - a y), \qquad
   y = \frac{x_t}{\sqrt{\alpha_t^2 + \sigma_t^2}}, \qquad a^2 = \frac{1}{1 + e^{-\lambda}} $$

so nothing is divided by what may be small, and f vanishes at both ends. By the change of variables

$$ \log p(y_\mathrm{max}) = \log p(y_\mathrm{min})
   + \int_{\lambda_\mathrm{max}}^{\lambda_\mathrm{min}} \nabla \cdot f \, d\lambda $$

Song et al. 2021, Score-Based Generative Modeling through Stochastic Differential Equations.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core.dormand_prince import solve
from diffkit.core.errors import DiffkitError
from diffkit.core.noise import Noise
from diffkit.core.sampler import Denoiser
from diffkit.core.schedule import LOGSNR_LIMIT, Schedule

Prior = Callable[[Tensor, Tensor], Tensor]
"""`(x_t, t) -> log p(x_t)`, one number a row: the density that is known at the last time."""
Direction = Literal["rademacher", "gaussian"]


@dataclass(frozen=True)
class LogLikelihood:
    """Log p in nats, a number for each row."""

    nats: Float[Tensor, " b"]
    """The density's logarithm: the mean over probes, where there are any."""
    error: Float[Tensor, " b"]
    """Its standard error over the probes: 0 where the divergence is exact, not a number where there is one probe."""
    calls: int
    """Network calls, each of them for all rows; each is followed by one backward pass for each direction."""
    directions: int
    """Backward passes for each call: the probes, or the numbers of a row where the divergence is exact."""


def log_likelihood(
    denoise: Denoiser,
    schedule: Schedule,
    x: Float[Tensor, " b *d"],
    probes: Float[Tensor, "k b *d"] | None = None,
    logsnr: tuple[float, float] = (-LOGSNR_LIMIT, LOGSNR_LIMIT),
    prior: Prior | None = None,
    tolerance: float = 1e-5,
) -> LogLikelihood:
    r"""The log density at `x` of the data that the model's probability flow makes, blurred by its last noise level.

    $x + e^{-\lambda_\mathrm{max} / 2} \varepsilon$ is what has that density, for the upper of the two `logsnr`: the
    data themselves but for 4.5e-5 of their deviation at the limit of 20. It is per unit of x: to have it in other units
    subtract the logarithm of their Jacobian. The flow ends at the lower `logsnr`, or the schedule's lowest, where the
    density is `prior`'s; by default that from which samplers start (`diffkit.core.sampler.prior`).

    The divergence is exact without `probes`, at one backward pass for each number of a row; else Hutchinson's estimate
    $\mathrm{mean}_k\, e_k^\top \frac{\partial f}{\partial y} e_k$, at one for each probe (`draw_probes`). Adaptive, of
    fifth order: a step's error in y, and in nats, is at most the `tolerance`. Rows keep to it in any batch. Computed in
    the dtype of x. Raises `DiffkitError` for an empty range of log-SNR.
    Hutchinson 1990, A stochastic estimator of the trace of the influence matrix; Grathwohl et al. 2019, FFJORD.
    """
    low, high = _range(schedule, logsnr)
    rows, d = len(x), x[0].numel()
    # each probe's own trace of the identity, so that it says 0 where f is 0
    whole: Tensor | float = d if probes is None else probes.flatten(2).square().sum(2).T
    calls = 0

    def slope(place: float, state: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        t = schedule.time(torch.tensor(place, dtype=torch.float64))
        alpha, sigma = (c.item() for c in schedule(t))
        n, a = math.hypot(alpha, sigma), _share(place)
        y = state[:, :d].reshape(x.shape)
        x_0, traces = traced(lambda y: denoise(n * y, t), y, probes)
        return torch.cat([a / 2 * (x_0 - a * y).flatten(1), a / 2 * (traces - a * whole)], 1)

    sums = 1 if probes is None else len(probes)
    start = torch.cat([(_share(high) * x).flatten(1), x.new_zeros(rows, sums)], 1)
    end = solve(slope, start, high, low, tolerance)
    y, gained = end[:, :d].reshape(x.shape), end[:, d:]
    nats = _log_prior(schedule, y, low, prior)[:, None] + gained + d * math.log(_share(high))
    error = nats.std(1) / sums**0.5 if probes is not None else torch.zeros_like(nats[:, 0])
    return LogLikelihood(nats.mean(1), error, calls, d if probes is None else len(probes))


def joined(parts: Iterable[LogLikelihood]) -> LogLikelihood:
    """Those of several batches, one after the other; `calls` are those of the batch that took the most."""
    some = list(parts)
    nats, error = torch.cat([p.nats for p in some]), torch.cat([p.error for p in some])
    return LogLikelihood(nats, error, max(p.calls for p in some), some[0].directions)


def draw_probes(x: Float[Tensor, " b *d"], k: int, noise: Noise, kind: Direction) -> Float[Tensor, "k b *d"]:
    """`k` directions for each row of `x`, whose covariance is the identity: signs, or normal numbers."""
    drawn = torch.stack([noise(x) for _ in range(k)])
    return drawn if kind == "gaussian" else torch.where(drawn < 0, -1.0, 1.0).to(x)


def traced(
    f: Callable[[Tensor], Tensor], y: Float[Tensor, " b *d"], probes: Float[Tensor, "k b *d"] | None
) -> tuple[Float[Tensor, " b *d"], Float[Tensor, "b k"]]:
    """f(y), and the trace of its Jacobian for each row: one column, or one for each probe's estimate.

    One forward pass; rows must not depend on each other.
    """
    with torch.inference_mode(False), torch.enable_grad():
        y = y.detach().clone().requires_grad_()
        value = f(y)
        traces = _exact(value, y) if probes is None else _estimates(value, y, probes)
    return value.detach(), traces.detach()


def _exact(value: Tensor, y: Tensor) -> Tensor:
    flat, d = value.flatten(1), y[0].numel()
    parts = []
    for i in range(d):
        (gradient,) = torch.autograd.grad(flat[:, i].sum(), y, retain_graph=i < d - 1, materialize_grads=True)
        parts.append(gradient.flatten(1)[:, i])
    return torch.stack(parts).sum(0)[:, None]


def _estimates(value: Tensor, y: Tensor, probes: Tensor) -> Tensor:
    found = []
    for i, probe in enumerate(probes):
        (gradient,) = torch.autograd.grad(value, y, probe, retain_graph=i < len(probes) - 1, materialize_grads=True)
        found.append((gradient * probe).flatten(1).sum(1))
    return torch.stack(found, 1)


def _share(logsnr: float) -> float:
    """The alpha of the variance-preserving path."""
    return 1 / math.sqrt(1 + math.exp(-logsnr))


def _range(schedule: Schedule, logsnr: tuple[float, float]) -> tuple[float, float]:
    end = schedule.logsnr(torch.ones((), dtype=torch.float64)).item()
    low, high = max(logsnr[0], end, -LOGSNR_LIMIT), min(logsnr[1], LOGSNR_LIMIT)
    if low >= high:
        raise DiffkitError(f"there is no log-SNR from {low:g} to {high:g} on {schedule}: raise logsnr_max")
    return low, high


def _log_prior(schedule: Schedule, y: Tensor, logsnr: float, prior: Prior | None) -> Tensor:
    d = y[0].numel()
    if prior is None:
        return -(y.flatten(1).square().sum(1) + d * math.log(2 * math.pi)) / 2
    t = schedule.time(torch.tensor(logsnr, dtype=torch.float64))
    n = math.hypot(*(c.item() for c in schedule(t)))
    return prior(n * y, t) + d * math.log(n)
