"""Autoguidance: away from a worse version of the model."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from diffkit.core.condition import Condition
from diffkit.core.data import DataSpec
from diffkit.core.errors import DiffkitError
from diffkit.core.guidance import Branches, Denoise, Guidance, Ramp, check_ramp, strength
from diffkit.core.model import DiffusionModel
from diffkit.core.types import Count, NonNegative, Positive


class Auto(Guidance):
    r"""Steps away from what a worse model of the same data says, given the same condition.

    $$ \hat x_0 \leftarrow \hat x_0 + (\mathrm{scale} - 1)\, (x_0^\mathrm{conditional} - x_0^\mathrm{worse}) $$

    1 is off. `run` is a smaller network, or one that was trained less; it may have conditioners, a prediction and a
    schedule of its own, and is asked at the same log-SNR. It may be the run itself: with `ema`, the length of another
    average, of the moment `update`, from the snapshots it kept. One pass of each network for each call.
    Karras et al. 2024, Guiding a Diffusion Model with a Bad Version of Itself.
    """

    def __init__(
        self,
        run: str,
        load_model: Callable[..., Any],
        spec: DataSpec,
        scale: NonNegative = 2.0,
        ramp: Ramp = (),
        ema: Positive | None = None,
        update: Count | None = None,
    ) -> None:
        check_ramp(ramp)
        self.scale, self.ramp = scale, ramp
        self.worse = load_model(run, spec, ema, update)
        if not isinstance(self.worse, DiffusionModel):
            raise DiffkitError(f"run={run} does not denoise: give a run that samples can be drawn from")

    def __call__(self, denoise: Denoise, branches: Branches) -> Denoise:
        """See `Guidance`."""
        if self.scale == 1:
            return denoise
        worse = self.worse.with_schedule(branches.schedule)
        told: Condition | None = None

        def bad(x_t: Tensor, t: Tensor) -> Tensor:
            nonlocal told
            if told is None:
                worse.to(x_t.device)
                told = worse.conditioners(branches.columns, len(x_t))
            narrow = next(worse.parameters()).dtype
            answer: Tensor = worse.denoise(x_t.to(narrow), t, told).to(x_t.dtype)
            return answer

        def guided(x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
            extra = strength(self.scale, self.ramp, branches.schedule, t)
            if extra == 0:
                return denoise(x_t, t, condition)
            good = branches(x_t, t, condition)
            away = good - branches.other("auto", lambda x: bad(x, t), x_t)
            return denoise(x_t, t, condition) + extra * away

        return guided
