"""Denoiser networks."""

from abc import ABC, abstractmethod
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from diffkit.core.condition import Condition


class DenoiserNetwork(nn.Module, ABC):
    """A network F of the noisy data, the log-SNR and the condition.

    Its constructor asks for `shape` (of one sample) and `condition` (a `ConditionSpec`), which the build supplies,
    beside hyperparameters of its own. It raises `DiffkitError` for a shape it cannot work on.
    """

    equivariant: ClassVar[bool] = False
    """Whether its data are sets of points, (c, n): points in another order have the same answers in that order, there
    may be any number of them, and those that are not `condition.present` change nothing."""

    @abstractmethod
    def forward(
        self, x: Float[Tensor, " b *d"], logsnr: Float[Tensor, " b"], condition: Condition
    ) -> Float[Tensor, " b *d"]:
        """The output F for `x` of unit variance; `logsnr` lies within +-20. Same shape as `x`."""
