"""Rescaled guidance."""

from dataclasses import dataclass

from torch import Tensor

from diffkit.core.condition import Condition
from diffkit.core.guidance import Branches, Denoise, Guidance
from diffkit.core.types import Fraction


@dataclass(frozen=True)
class Rescale(Guidance):
    r"""Brings the spread that guidance gave each sample back to that of the conditional answer.

    $$ \hat x_0 \leftarrow \left(1 - \mathrm{share} + \mathrm{share}\,
       \frac{\operatorname{std}(x_0^\mathrm{conditional})}{\operatorname{std}(\hat x_0)}\right) \hat x_0 $$

    with the standard deviation over all numbers of one sample. 0 is off. It comes after the guidance that it mends.
    Lin et al. 2023, Common Diffusion Noise Schedules and Sample Steps are Flawed, eq. 15 and 16, there of the network's
    output, here of x_0, whatever the network predicts.
    """

    share: Fraction = 0.7

    def __call__(self, denoise: Denoise, branches: Branches) -> Denoise:
        """See `Guidance`."""
        if self.share == 0:
            return denoise

        def guided(x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
            x_0 = denoise(x_t, t, condition)
            ratio = _spread(branches(x_t, t, condition)) / _spread(x_0).clamp(min=1e-12)
            return x_0 * (1 - self.share + self.share * ratio)

        return guided


def _spread(x: Tensor) -> Tensor:
    """The standard deviation of each sample, (b, 1, ...)."""
    return x.flatten(1).std(1, correction=0).reshape(-1, *[1] * (x.ndim - 1))
