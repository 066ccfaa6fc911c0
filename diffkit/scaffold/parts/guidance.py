"""Guidance that grows with the signal."""

from dataclasses import dataclass

from torch import Tensor

from diffkit.core import Branches, Condition, Denoise, Guidance, NonNegative


@dataclass(frozen=True)
class MyGuidance(Guidance):
    r"""Classifier-free guidance whose scale rises from 1, in the noise, to `scale`, near the data.

    $$ \hat x_0 = x_0^\mathrm{conditional} + (\mathrm{scale} - 1)\, \frac{\mathrm{SNR}}{\mathrm{SNR} + 1}
       (x_0^\mathrm{conditional} - x_0^\mathrm{null}) $$

    1 is off. One network pass of twice the rows for each call.
    """

    scale: NonNegative = 2.0

    def __call__(self, denoise: Denoise, branches: Branches) -> Denoise:
        """See `Guidance`."""
        if self.scale == 1:
            return denoise

        def guided(x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
            conditional, null = branches.both(x_t, t, condition)  # first: `denoise` then finds its answer there
            share = branches.schedule.logsnr(t).sigmoid().item()
            return denoise(x_t, t, condition) + (self.scale - 1) * share * (conditional - null)

        return guided
