"""Classifier-free guidance."""

from dataclasses import dataclass

from torch import Tensor

from diffkit.core.condition import Condition
from diffkit.core.guidance import Branches, Denoise, Guidance, Ramp, check_ramp, strength
from diffkit.core.types import NonNegative


@dataclass(frozen=True)
class Cfg(Guidance):
    r"""Steps further from what the model says when it is told nothing, or when it is told the negative condition.

    $$ \hat x_0 = x_0^\mathrm{null} + \mathrm{scale} \cdot (x_0^\mathrm{conditional} - x_0^\mathrm{null}) $$

    1 is off; 0 ignores the condition. One network pass of twice the rows for each call, and one of the rows alone where
    the `ramp` is 0. After other guidances in a list it adds (scale - 1) times the difference to their answer.
    Ho and Salimans 2022, Classifier-Free Diffusion Guidance.
    """

    scale: NonNegative = 1.15
    ramp: Ramp = ()
    """How much of (scale - 1) is used over log-SNR: points [log-SNR, share]."""

    def __post_init__(self) -> None:
        check_ramp(self.ramp)

    def __call__(self, denoise: Denoise, branches: Branches) -> Denoise:
        """See `Guidance`."""
        if self.scale == 1:
            return denoise

        def guided(x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
            extra = strength(self.scale, self.ramp, branches.schedule, t)
            if extra == 0:
                return denoise(x_t, t, condition)
            # both branches first: `denoise` then finds the conditional one already computed
            conditional, null = branches.both(x_t, t, condition)
            return denoise(x_t, t, condition) + (conditional - null).mul_(extra)

        return guided
