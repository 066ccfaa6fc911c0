"""UniPC: a predictor and a corrector at one call a step."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from diffkit.core.sampler import Denoiser, Draw, Rows, Sampler, State, Times
from diffkit.core.schedule import Schedule
from diffkit.standard.samplers.adams import adams, in_lambda
from diffkit.standard.samplers.ends import Ends
from diffkit.standard.samplers.forms import FORMS
from diffkit.standard.samplers.multistep import multistep


@dataclass(frozen=True)
class UniPC(Sampler):
    r"""Exponential predictor and corrector of the given `order`; one network call a step. Deterministic.

    The predictor is the polynomial through the last `order` - 1 answers in $\lambda = \log(\alpha / \sigma)$,
    integrated exactly; once the answer at the predicted state is there, the corrector makes the step again with the
    polynomial through `order` of them. The answer is not asked for again. `form`: whether it is x_0 or the noise that
    is the polynomial. (The paper's UniPC-p is the pair of orders p and p + 1: `order` is p + 1. Its coefficients
    where one answer alone is interpolated are an approximation, here they are exact.)
    Zhao et al. 2023, UniPC: A Unified Predictor-Corrector Framework for Fast Sampling of Diffusion Models.
    """

    form: Literal["x0", "eps"] = "x0"
    order: Literal[2, 3, 4] = 3

    def steps(self, denoise: Denoiser, schedule: Schedule, x: Rows, times: Times, noise: Draw) -> Iterator[State]:
        """See `Sampler`."""
        ends = Ends.of(schedule, times)
        mix = None if self.form == "x0" else FORMS[self.form].mix(ends.alpha_t, ends.sigma_t)
        table = adams(in_lambda(self.form, ends), self.order - 1, self.order, mix)
        return multistep(denoise, x, times, noise, table)
