"""Classifier-free guidance."""

from dataclasses import dataclass

from torch import Tensor

from diffkit.core.condition import Condition
from diffkit.core.guidance import Branches, Denoise, Guidance
from diffkit.core.types import NonNegative


@dataclass(frozen=True)
class Cfg(Guidance):
    r"""Steps further from what the model says when it is told nothing, or when it is told the negative condition.

    $$ \hat x_0 = x_0^\mathrm{null} + \mathrm{scale} \cdot (x_0^\mathrm{conditional} - x_0^\mathrm{null}) $$

    1 is off; 0 ignores the condition. One network pass of twice the rows for each call. After other guidances in a
    list it adds (scale - 1) times the difference of the two to their answer.
    Ho and Salimans 2022, Classifier-Free Diffusion Guidance.
    """

    scale: NonNegative = 1.15

    def __call__(self, denoise: Denoise, branches: Branches) -> Denoise:
        """See `Guidance`."""
        if self.scale == 1:
            return denoise

        def guided(x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
            # both branches first: `denoise` then finds the conditional one already computed
            conditional, null = branches.both(x_t, t, condition)
            return denoise(x_t, t, condition) + (conditional - null).mul_(self.scale - 1)

        return guided
