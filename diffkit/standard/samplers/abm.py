"""Adams-Bashforth-Moulton: a predictor and a corrector in the coordinates of a form."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from diffkit.core.sampler import Denoiser, Draw, Rows, Sampler, State, Times
from diffkit.core.schedule import Schedule
from diffkit.standard.samplers.adams import adams, in_place
from diffkit.standard.samplers.ends import Ends
from diffkit.standard.samplers.forms import FORMS
from diffkit.standard.samplers.multistep import multistep


@dataclass(frozen=True)
class Abm(Sampler):
    r"""Adams-Bashforth-Moulton of the given `order`; one network call a step. Deterministic.

    `lms` of order - 1, and each slope that is found at a predicted state also mends that state: the step to it is
    made again with the polynomial through `order` slopes, the new one included (mode PEC: no slope is asked for twice).

    The `form` says in which coordinates: `flow`, sigma / (alpha + sigma); `v`, the angle atan(sigma / alpha), in which
    data of unit variance hardly move; `eps`, sigma / alpha.
    Hairer, Norsett and Wanner 1993, Solving Ordinary Differential Equations I, section III.1.
    """

    form: Literal["flow", "v", "eps"] = "flow"
    order: Literal[2, 3, 4] = 3

    def steps(self, denoise: Denoiser, schedule: Schedule, x: Rows, times: Times, noise: Draw) -> Iterator[State]:
        """See `Sampler`."""
        ends = Ends.of(schedule, times)
        mix = FORMS[self.form].mix(ends.alpha_t, ends.sigma_t)
        table = adams(in_place(self.form, ends), self.order - 1, self.order, mix)
        return multistep(denoise, x, times, noise, table)
