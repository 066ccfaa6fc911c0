"""Contracts of schedules."""

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core.schedule import LOGSNR_LIMIT, Schedule
from diffkit.testing.contracts.hold import hold, table
from diffkit.testing.contracts.require import require, require_close
from diffkit.testing.contracts.value import check_value


def times() -> Float[Tensor, " n"]:
    """Rising times in [0, 1], both ends among them, many close to 0."""
    near = torch.logspace(-9, -2, 40, dtype=torch.float64)
    even = torch.linspace(0, 1, 1001, dtype=torch.float64)
    return torch.cat([even[:1], near[near < even[1]], even[1:]])


def value(schedule: Schedule) -> None:
    """A schedule is a frozen dataclass of plain values, equal to a copy of itself."""
    check_value(schedule)


def float64(schedule: Schedule) -> None:
    """alpha_t and sigma_t are float64, of the shape of t, finite and not negative; t is not written into."""
    t, before = times(), times()
    pair = schedule(t)
    require(bool((t == before).all()), schedule, "t was written into")
    for name, a in zip(("alpha", "sigma"), pair, strict=True):
        require(a.dtype == torch.float64, schedule, f"{name} is {a.dtype}, not torch.float64")
        require(a.shape == t.shape, schedule, f"{name} is of shape {tuple(a.shape)} for t of {tuple(t.shape)}")
        wrong = (~a.isfinite() | (a < 0)).nonzero().flatten()[:1]
        at = [(t[i].item(), a[i].item()) for i in wrong.tolist()]
        require(
            not at, schedule, "".join(f"{name} at t = {s:g} is {v:g}, not a finite number of at least 0" for s, v in at)
        )


def start(schedule: Schedule) -> None:
    """At t = 0 there are data and no noise: alpha is exactly 1 and sigma exactly 0."""
    alpha, sigma = (a.item() for a in schedule(torch.zeros((), dtype=torch.float64)))
    require((alpha, sigma) == (1.0, 0.0), schedule, f"(alpha, sigma) at t = 0 is ({alpha:g}, {sigma:g}), not (1, 0)")


def falls(schedule: Schedule) -> None:
    """The log-SNR falls strictly from t = 0 to t = 1."""
    t = times()
    logsnr = schedule.logsnr(t)
    rising = (~(logsnr.diff() < 0)).nonzero().flatten().tolist()[:1]
    said = [f"does not fall from t = {t[i]:.6g}, where it is {logsnr[i]:.8g}, to {t[i + 1]:.6g}, where it is "
            f"{logsnr[i + 1]:.8g}" for i in rising]  # fmt: skip
    require(not said, schedule, f"the log-SNR {''.join(said)}")


def inverse(schedule: Schedule) -> None:
    """`time(logsnr(t))` is t, to 1e-8 of it, wherever the log-SNR is within its limit of 20."""
    t = times()
    inner = t[schedule.logsnr(t).abs() < LOGSNR_LIMIT]
    require(len(inner) > 1, schedule, f"only {len(inner)} of {len(t)} times have a log-SNR between -20 and 20")
    back = schedule.time(schedule.logsnr(inner)) / inner
    require_close(schedule, "time(logsnr(t)) / t", back, torch.ones_like(inner), 1e-8)


def rows(schedule: Schedule) -> None:
    """One time by itself has the alpha and the sigma that it has among many."""
    t = times()
    one = torch.stack([torch.stack(schedule(s)) for s in t[::100]], 1)
    require_close(schedule, "(alpha, sigma) of a time by itself, against it among many,",
                  one, torch.stack(schedule(t))[:, ::100], 1e-15)  # fmt: skip


def chain(schedule: Schedule) -> None:
    """A chain of small steps towards the noise ends with the alpha and the sigma that the schedule says."""
    t = torch.linspace(0, 1, 201, dtype=torch.float64)[:-1]  # alpha may be 0 at the end
    scale, std = schedule.kernel(t[1:], t[:-1])
    alpha = variance = torch.ones((), dtype=torch.float64)
    variance = variance - 1
    for a, s in zip(scale, std, strict=True):
        alpha, variance = a * alpha, a.square() * variance + s.square()
    wanted = schedule(t[-1])
    for name, got, closed in (("alpha", alpha, wanted[0]), ("sigma", variance.sqrt(), wanted[1])):
        at = f"{name} after 199 steps to t = {t[-1]:g}, by the schedule's {name} there,"
        require_close(schedule, at, got / closed, torch.ones_like(got), 1e-9)


SCHEDULE = table(value, start, float64, falls, inverse, rows, chain)


def check_schedule(schedule: Schedule) -> None:
    """Hold a schedule against its contracts; raises `AssertionError` with what broke and what was measured."""
    hold(SCHEDULE, schedule)
