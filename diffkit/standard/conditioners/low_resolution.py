"""A small picture, to be enlarged."""

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool1d, avg_pool2d, avg_pool3d

from diffkit.core.condition import Condition, ConditionSpec
from diffkit.core.conditioner import Conditioner
from diffkit.core.errors import DiffkitError
from diffkit.core.types import Batch, Count, Shape

POOL = {1: avg_pool1d, 2: avg_pool2d, 3: avg_pool3d}


class LowResolution(Conditioner):
    """The picture itself, `factor` times smaller: means of its blocks, each repeated to fill the block again.

    It reads the column `"x"`, the standardised pictures, so that training needs nothing else; to enlarge a small
    picture, it is given with every value repeated, which has the same blocks. Fills the spatial slot. Raises
    `DiffkitError` where `factor` does not divide every axis.
    Saharia et al. 2021, Image Super-Resolution via Iterative Refinement.
    """

    key: ClassVar[str] = "x"

    def __init__(self, shape: Shape, factor: Count = 2) -> None:
        super().__init__()
        channels, *size = shape
        if not 1 <= len(size) <= 3 or any(n % factor for n in size):
            raise DiffkitError(
                f"pictures of {shape} cannot be {factor} times smaller: choose a factor that divides one to three axes"
            )
        self.channels, self.factor = channels, factor

    @property
    def spec(self) -> ConditionSpec:
        """The channels of the picture, in space."""
        return ConditionSpec(spatial=self.channels)

    def forward(self, batch: Batch) -> Condition:
        """The blocks of `batch["x"]`."""
        return Condition(spatial=self.blocks(batch[self.key]))

    def blocks(self, x: Float[Tensor, " b *d"]) -> Float[Tensor, " b *d"]:
        """Every value replaced by the mean of its block."""
        small: Tensor = POOL[x.ndim - 2](x, self.factor)
        for axis in range(2, x.ndim):
            small = small.repeat_interleave(self.factor, axis)
        return small
