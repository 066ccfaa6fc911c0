"""Adaptive projected guidance."""

from dataclasses import dataclass

from torch import Tensor

from diffkit.core.condition import Condition
from diffkit.core.guidance import Branches, Denoise, Guidance, Ramp, check_ramp, strength
from diffkit.core.types import NonNegative


@dataclass(frozen=True)
class Apg(Guidance):
    r"""Classifier-free guidance whose step is bounded, and kept from blowing up what the model says already.

    $$ d = x_0^\mathrm{conditional} - x_0^\mathrm{null} + \mathrm{momentum} \cdot d_\mathrm{before}, \qquad
       \hat x_0 = x_0 + (\mathrm{scale} - 1)\, (d_\perp + \mathrm{parallel} \cdot d_\parallel) $$

    where d is shortened to the length `limit` (0: not at all) and split into its part along the conditional x_0 and the
    rest. 1 is off; with `parallel` 1, no limit and no momentum it is `cfg`. The paper counts length in its own
    pixels; here it is that of a sample whose numbers have unit variance. `d` of the call before belongs to one walk: a
    sampler that asks twice a step passes it on twice.
    Sadat et al. 2024, Eliminating Oversaturation and Artifacts of High Guidance Scales in Diffusion Models.
    """

    scale: NonNegative = 4.0
    parallel: float = 0.0
    limit: NonNegative = 0.0
    momentum: float = -0.5
    ramp: Ramp = ()
    """How much of (scale - 1) is used over log-SNR: points [log-SNR, share]."""

    def __post_init__(self) -> None:
        check_ramp(self.ramp)

    def __call__(self, denoise: Denoise, branches: Branches) -> Denoise:
        """See `Guidance`."""
        if self.scale == 1:
            return denoise
        before: Tensor | None = None

        def guided(x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
            nonlocal before
            extra = strength(self.scale, self.ramp, branches.schedule, t)
            if extra == 0:
                return denoise(x_t, t, condition)
            conditional, null = branches.both(x_t, t, condition)
            step = conditional - null
            if before is not None:
                step = step + self.momentum * before
            before = step
            return denoise(x_t, t, condition) + extra * self._bounded(step, conditional)

        return guided

    def _bounded(self, step: Tensor, conditional: Tensor) -> Tensor:
        if self.limit:
            step = step * (self.limit / _length(step).clamp(min=1e-12)).clamp(max=1)
        along = conditional / _length(conditional).clamp(min=1e-12)
        parallel = (step * along).flatten(1).sum(1).reshape(-1, *[1] * (step.ndim - 1)) * along
        return step - (1 - self.parallel) * parallel


def _length(x: Tensor) -> Tensor:
    """The Euclidean length of each sample, (b, 1, ...)."""
    return x.flatten(1).square().sum(1).sqrt().reshape(-1, *[1] * (x.ndim - 1))
