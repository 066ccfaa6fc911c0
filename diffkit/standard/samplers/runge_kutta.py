r"""Explicit Runge-Kutta methods in the coordinates of a form, where the probability flow is y' = F(y, m)."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core.schedule import Schedule
from diffkit.standard.samplers.ends import Ends
from diffkit.standard.samplers.forms import FORMS, FormName
from diffkit.standard.samplers.stages import Points, Slopes, Stages, fold


@dataclass(frozen=True)
class Tableau:
    """A method of Butcher's: the `nodes` after the first, as shares of the step, and the slopes' weights.

    `rows` has a row for each of those nodes, and at last that of the end.
    """

    nodes: tuple[float, ...]
    rows: tuple[tuple[float, ...], ...]


EULER = Tableau((), ((1.0,),))
HEUN = Tableau((1.0,), ((1.0,), (1 / 2, 1 / 2)))
MIDPOINT = Tableau((1 / 2,), ((1 / 2,), (0.0, 1.0)))
CLASSIC = Tableau((1 / 2, 1 / 2, 1.0), ((1 / 2,), (0.0, 1 / 2), (0.0, 0.0, 1.0), (1 / 6, 1 / 3, 1 / 3, 1 / 6)))
"""Of fourth order."""


def runge_kutta(
    form: FormName,
    schedule: Schedule,
    times: Float[Tensor, " m"],
    tableau: Tableau,
    ends: Ends | None = None,
) -> Stages:
    """The steps between `times`, in forms `eps`, `v` and `flow`.

    The slope is not defined where sigma is 0: a method that asks for it at the end is Euler's in the step to there.
    `ends` are others than the times' own where a step goes further, or begins elsewhere.
    """
    ends, shape = ends or Ends.of(schedule, times), FORMS[form]
    first, last = shape.place(ends.alpha_t, ends.sigma_t), shape.place(ends.alpha_s, ends.sigma_s)

    def logsnr(shares: Tensor) -> Tensor:
        return -2 * shape.level(first[:, None] + (last - first)[:, None] * shares).log()

    points = Points.of(schedule, times, ends, tableau.nodes, logsnr)
    rows = torch.zeros(len(tableau.rows), len(tableau.rows), dtype=torch.float64)
    for j, row in enumerate(tableau.rows):
        rows[j, : len(row)] = torch.tensor(row, dtype=torch.float64)
    scale = shape.scale(points.alpha, points.sigma)
    weights = (scale[:, 1:] * (last - first)[:, None])[..., None] * rows
    single = (ends.sigma_s == 0) & (1.0 in tableau.nodes)
    weights[single, 0, 0] = (scale[:, -1] * (last - first))[single]
    mix = shape.mix(points.alpha[:, :-1], points.sigma[:, :-1])
    return fold(points, Slopes(scale[:, 1:] / scale[:, :1], weights, mix), single)
