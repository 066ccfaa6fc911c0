"""The codec that changes nothing."""

from jaxtyping import Float
from torch import Tensor

from diffkit.core.codec import Codec


class Identity(Codec):
    """The data themselves are diffused."""

    def encode(self, x: Float[Tensor, " b *d"]) -> Float[Tensor, " b *e"]:
        """`x` itself."""
        return x

    def decode(self, z: Float[Tensor, " b *e"]) -> Float[Tensor, " b *d"]:
        """`z` itself."""
        return z
