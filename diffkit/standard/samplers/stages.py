"""The loop of every sampler that makes several calls within a step and keeps nothing for the next."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from diffkit.core.sampler import Denoiser, Draw, State
from diffkit.core.schedule import Schedule
from diffkit.standard.samplers.ends import Ends, times_at


@dataclass(frozen=True)
class Points:
    """Where each step asks for x_0, and at last its end: p = k + 1 times in float64, with their `alpha` and `sigma`."""

    times: Float[Tensor, "n p"]
    alpha: Float[Tensor, "n p"]
    sigma: Float[Tensor, "n p"]

    @classmethod
    def of(
        cls,
        schedule: Schedule,
        times: Float[Tensor, " m"],
        ends: Ends,
        shares: tuple[float, ...],
        logsnr: Callable[[Float[Tensor, " j"]], Float[Tensor, "n j"]],
    ) -> "Points":
        """The beginning of each step, the points at `shares` of the way, to be found by `logsnr`, and the end."""
        known = {0.0: (times[:-1], ends.alpha_t, ends.sigma_t), 1.0: (times[1:], ends.alpha_s, ends.sigma_s)}
        if inner := sorted(set(shares) - known.keys()):
            found = times_at(schedule, logsnr(torch.tensor(inner, dtype=torch.float64)))
            known |= {s: (c, *schedule(c)) for s, c in zip(inner, found.unbind(1), strict=True)}
        columns = zip(*(known[share] for share in (0.0, *shares, 1.0)), strict=True)
        return cls(*(torch.stack(column, 1) for column in columns))


@dataclass(frozen=True)
class Slopes:
    r"""A method of k slopes: what is kept of x_t, and the slopes' weights, at each point after the first.

    $$ x^{(j)} = \mathrm{keep}_j\, x_t + \sum_{l < j} w_{jl} F_l, \qquad
       F_l = \mathrm{mix}_{1,l}\, x^{(l)} + \mathrm{mix}_{2,l}\, \hat x_0(x^{(l)}) $$

    Without `mix`, F is x_0 itself.
    """

    keep: Float[Tensor, "n k"]
    weights: Float[Tensor, "n k k"]
    mix: tuple[Float[Tensor, "n k"], Float[Tensor, "n k"]] | None = None


@dataclass(frozen=True)
class Stages:
    r"""The coefficients of steps of up to k calls, linear in x_t and in the step's own answers; all float64.

    $$ x^{(j)} = \mathrm{keep}_j\, x_t + \sum_{l < j} \mathrm{pull}_{jl}\, \hat x_0(x^{(l)})
       + \sum_{l < j} \mathrm{spread}_{jl}\, z_l $$

    where x^(j) is where the next answer is asked for, and at last x_s. In a step in `single` there is one call only,
    and x^(1) is x_s. A number z_l is drawn where its own first weight, in row l, is not 0. With `churn`, x_t is first
    brought to the step's first time: scaled by the one and with noise of the other standard deviation.
    """

    times: Float[Tensor, "n k"]
    keep: Float[Tensor, "n k"]
    pull: Float[Tensor, "n k k"]
    single: Bool[Tensor, " n"]
    spread: Float[Tensor, "n k k"] | None = None
    churn: tuple[Float[Tensor, " n"], Float[Tensor, " n"]] | None = None


def fold(points: Points, slopes: Slopes, single: Bool[Tensor, " n"]) -> Stages:
    """The slopes' method in terms of x_t and the answers: no slope is ever made, which saves passes over memory.

    Where a step is `single`, its first stage is that to its end: the last `keep`, and the first weight.
    """
    n, k = slopes.keep.shape
    keep = slopes.keep.clone()
    keep[single, 0] = slopes.keep[single, -1]
    if slopes.mix is None:
        return Stages(points.times[:, :-1], keep, slopes.weights, single)
    start = torch.zeros(n, 1 + k, dtype=torch.float64)
    start[:, 0] = 1
    state, found, rows = start, list[Tensor](), list[Tensor]()
    for j in range(k):
        slope = slopes.mix[0][:, [j]] * state
        slope[:, 1 + j] += slopes.mix[1][:, j]
        found.append(slope)
        state = keep[:, [j]] * start
        for past, slope in enumerate(found):
            state = state + slopes.weights[:, j, [past]] * slope
        rows.append(state)
    table = torch.stack(rows, 1)
    return Stages(points.times[:, :-1], table[..., 0], table[..., 1:], single)


def ancestral(stages: Stages, spread: Float[Tensor, " n"]) -> Stages:
    """The stages with one draw a step, of this standard deviation, at its end."""
    noise = torch.zeros_like(stages.pull)
    noise[:, -1, -1] = spread
    return replace(stages, spread=noise)


def single_step(
    denoise: Denoiser,
    x: Float[Tensor, " b *d"],
    times: Float[Tensor, " m"],
    noise: Draw,
    stages: Stages,
) -> Iterator[State]:
    """Walk the times by the stages."""
    until, asked, count = times.tolist(), [row.unbind() for row in stages.times.unbind()], stages.times.shape[1]
    keeps, pulls = stages.keep.tolist(), stages.pull.tolist()
    calls = [1 if single else count for single in stages.single.tolist()]
    spreads = None if stages.spread is None else stages.spread.tolist()
    churns = None if stages.churn is None else list(zip(*(c.tolist() for c in stages.churn), strict=True))
    for i in range(len(calls)):
        if churns and churns[i][1]:
            x = noise(x).mul_(churns[i][1]).add_(x, alpha=churns[i][0])
        y, answers, draws = x, list[Tensor](), list[Tensor | None]()
        for j in range(calls[i]):
            answers.append(denoise(y, asked[i][j]))
            del y  # its memory, still in the cache, becomes the next point's
            fresh, last = spreads[i][j][j] if spreads else 0.0, j == calls[i] - 1
            # no later point needs the last draw: the sample takes its memory
            y = noise(x).mul_(fresh).add_(x, alpha=keeps[i][j]) if fresh and last else x * keeps[i][j]
            for weight, answer in zip(pulls[i][j], answers, strict=False):
                if weight:
                    y.add_(answer, alpha=weight)
            if spreads:
                draws.append(noise(x) if fresh and not last else None)
                for weight, draw in zip(spreads[i][j], draws, strict=False):
                    if draw is not None:
                        y.add_(draw, alpha=weight)
        x = y
        yield State(i + 1, until[i + 1], x, answers[0])
