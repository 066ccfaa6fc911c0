"""Guidance at some noise levels alone."""

from dataclasses import dataclass

from torch import Tensor

from diffkit.core.condition import Condition
from diffkit.core.errors import DiffkitError
from diffkit.core.guidance import Branches, Denoise, Guidance
from diffkit.core.schedule import LOGSNR_LIMIT


@dataclass(frozen=True)
class Interval(Guidance):
    r"""Limits what stands before it in the list to log-SNRs from `low` to `high`; elsewhere the model stays alone.

    Outside, nothing of the others is computed: `guidance=[cfg,interval]` costs one row a step there. The limits are
    $-2 \log$ of the noise levels in the paper (0.28 to 2.9). Off from -20 to 20, the whole range.
    Kynkäänniemi et al. 2024, Applying Guidance in a Limited Interval Improves Sample and Distribution Quality.
    """

    low: float = -2.1
    high: float = 2.5

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise DiffkitError(f"low={self.low} high={self.high}: the interval is empty; give low below high")

    def __call__(self, denoise: Denoise, branches: Branches) -> Denoise:
        """See `Guidance`."""
        if self.low <= -LOGSNR_LIMIT and self.high >= LOGSNR_LIMIT:
            return denoise

        def guided(x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
            inside = self.low <= branches.schedule.logsnr(t).item() <= self.high
            return (denoise if inside else branches)(x_t, t, condition)

        return guided
