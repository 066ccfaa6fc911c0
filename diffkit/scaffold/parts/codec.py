"""The data as waves."""

from math import pi, sqrt

import torch
from jaxtyping import Float
from torch import Tensor

from diffkit.core import Codec, Shape


class MyCodec(Codec):
    r"""The orthonormal cosine transform along the last axis, of n values: diffusion of frequencies.

    $$ z_k = \sqrt{\tfrac2n} \sum_j \cos\left( \tfrac{\pi}{n} k (j + \tfrac12) \right) x_j,
       \qquad z_0 = \sqrt{\tfrac1n} \sum_j x_j $$

    It keeps lengths, so that noise stays noise, and its inverse is its transpose.
    """

    waves: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        n = shape[-1]
        places = torch.arange(n, dtype=torch.float64)
        waves = sqrt(2 / n) * (pi / n * places[:, None] * (places + 0.5)).cos()
        waves[0] /= sqrt(2)
        self.register_buffer("waves", waves.float())

    def encode(self, x: Float[Tensor, " b *d"]) -> Float[Tensor, " b *e"]:
        """The waves in x."""
        return x @ self.waves.T.to(x)

    def decode(self, z: Float[Tensor, " b *e"]) -> Float[Tensor, " b *d"]:
        """The sum of the waves."""
        return z @ self.waves.to(z)
