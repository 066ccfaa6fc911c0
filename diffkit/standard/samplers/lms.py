"""Linear multistep: Adams-Bashforth in the coordinates of a form."""

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
class Lms(Sampler):
    r"""Adams-Bashforth of the given `order`; one network call a step. Deterministic.

    $$ \frac{x_s}{n_s} = \frac{x_t}{n_t} + \int_{m_t}^{m_s} P(m)\, dm $$

    for the polynomial P through the last slopes F, in the coordinates of a `form`: `eps`, with m = sigma / alpha
    (Katherine Crowson's LMS sampler); `v`, with the angle m = atan(sigma / alpha); or `flow`, with
    m = sigma / (alpha + sigma). The last step keeps its order. Fewer slopes in the first steps.
    """

    form: Literal["eps", "v", "flow"] = "eps"
    order: Literal[1, 2, 3, 4] = 4

    def steps(self, denoise: Denoiser, schedule: Schedule, x: Rows, times: Times, noise: Draw) -> Iterator[State]:
        """See `Sampler`."""
        ends = Ends.of(schedule, times)
        mix = FORMS[self.form].mix(ends.alpha_t, ends.sigma_t)
        return multistep(denoise, x, times, noise, adams(in_place(self.form, ends), self.order, mix=mix))
