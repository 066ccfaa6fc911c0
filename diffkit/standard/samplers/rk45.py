"""Dormand and Prince's adaptive Runge-Kutta method."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core.dormand_prince import ERROR, NODES, ROWS, add, factor
from diffkit.core.errors import RunFailed
from diffkit.core.sampler import Denoiser, Draw, Rows, Sampler, State, Times
from diffkit.core.schedule import LOGSNR_LIMIT, Schedule
from diffkit.core.types import Count, Positive
from diffkit.standard.samplers.forms import FORMS, Form


@dataclass(frozen=True)
class Rk45(Sampler):
    r"""Adaptive, of fifth order; as many network calls as the tolerances ask for. Deterministic.

    Dormand and Prince's pair of orders 5 and 4 for the probability flow in the coordinates of a `form`: y = x / n as a
    function of the place m (`v`: the angle atan(sigma / alpha); `flow`: sigma / (alpha + sigma)). The length of its
    steps is its own, but for that it stops at the grid's times: with a coarse grid it is free. A step is made again,
    and shorter, where for any row

    $$ \left(\frac1d \sum_i \frac{e_i^2}{(\mathrm{atol} + \mathrm{rtol} \max(|y_i|, |y_i'|))^2}\right)^{1/2} > 1 $$

    for the difference e of the two orders: samples agree between batches to the tolerance, not exactly. The step to
    sigma_s = 0 ends with a step of `ddim` from a log-SNR of 20. Every step waits for its error, on any device.
    Raises `RunFailed` where a grid step takes more than `limit` tries, or steps shorter than float64 has.
    Dormand and Prince 1980, A family of embedded Runge-Kutta formulae; Song et al. 2021, Score-Based Generative
    Modeling through Stochastic Differential Equations.
    """

    form: Literal["v", "flow"] = "v"
    rtol: Positive = 1e-5
    atol: Positive = 1e-5
    limit: Count = 1000

    order = 5
    calls_per_step = None

    def steps(self, denoise: Denoiser, schedule: Schedule, x: Rows, times: Times, noise: Draw) -> Iterator[State]:
        """See `Sampler`."""
        last = schedule.time(torch.tensor(LOGSNR_LIMIT, dtype=torch.float64))
        start, *stops = _points(FORMS[self.form], schedule, torch.maximum(times, last))
        y = x / start.scale
        slope, x_0 = start.slope(denoise, y)
        width = (stops[-1].place - start.place) / 32
        for i, (stop, t) in enumerate(zip(stops, times[1:].unbind(), strict=True)):
            y, slope, x_0, width = self._walk(denoise, schedule, y, (slope, x_0), start, stop, width)
            alpha, sigma = (c.item() for c in schedule(t))
            keep = sigma / stop.sigma  # 1 at the stop itself, 0 at the end
            x = (y * (keep * stop.scale)).add_(x_0, alpha=alpha - keep * stop.alpha)
            start = stop
            yield State(i + 1, t.item(), x, x_0)

    def _walk(
        self,
        denoise: Denoiser,
        schedule: Schedule,
        y: Tensor,
        known: tuple[Tensor, Tensor],
        start: "_Point",
        stop: "_Point",
        width: float,
    ) -> tuple[Tensor, Tensor, Tensor, float]:
        """y, its slope and x_0 at `stop`, and the width of the next step; `known` are the slope and x_0 at `start`."""
        (slope, x_0), place = known, start.place
        for _ in range(self.limit):
            left = stop.place - place
            if left == 0:
                return y, slope, x_0, width
            step = left if abs(left) < 1.01 * abs(width) else width
            if place + step == place:
                break
            shares = torch.tensor(NODES, dtype=torch.float64)
            points = _at(FORMS[self.form], schedule, place + step * shares)
            slopes = [slope]
            for row, point in zip(ROWS, points, strict=True):
                guess = add(y, slopes, row, step)
                found, answer = point.slope(denoise, guess)
                slopes.append(found)
            error = add(torch.zeros_like(y), slopes, ERROR, step)
            allowed = self.atol + self.rtol * torch.maximum(y.abs(), guess.abs())
            worst = (error / allowed).square().flatten(1).mean(1).sqrt().max().item()
            if worst <= 1:
                y, slope, x_0 = guess, slopes[-1], answer
                place = stop.place if step == left else place + step
            wanted = factor(worst) * step
            # a step cut short by a stop says little against the width that was meant
            width = max(wanted, width, key=abs) if worst <= 1 and step == left else wanted
        raise RunFailed(
            f"rk45 does not get from a noise level of {start.level:.3g} to {stop.level:.3g} in {self.limit} tries: "
            "raise sampler.rtol, sampler.atol or sampler.limit; or take another sampler, if the model is not smooth"
        )


@dataclass(frozen=True)
class _Point:
    """A place on the way, and what is needed of it, as numbers."""

    place: float
    t: Tensor
    alpha: float
    sigma: float
    scale: float
    of_x: float
    of_x_0: float

    @property
    def level(self) -> float:
        return self.sigma / self.alpha

    def slope(self, denoise: Denoiser, y: Tensor) -> tuple[Tensor, Tensor]:
        """F at y, and the answer x_0."""
        x = y * self.scale
        x_0 = denoise(x, self.t)
        return (x_0 * self.of_x_0).add_(x, alpha=self.of_x), x_0


def _points(form: Form, schedule: Schedule, times: Float[Tensor, " n"]) -> list[_Point]:
    alpha, sigma = schedule(times)
    columns = form.place(alpha, sigma), alpha, sigma, form.scale(alpha, sigma), *form.mix(alpha, sigma)
    place, *others = (column.tolist() for column in columns)
    return [_Point(p, t, *rest) for p, t, *rest in zip(place, times.unbind(), *others, strict=True)]


def _at(form: Form, schedule: Schedule, places: Float[Tensor, " n"]) -> list[_Point]:
    return _points(form, schedule, schedule.time(-2 * form.level(places).log()))
