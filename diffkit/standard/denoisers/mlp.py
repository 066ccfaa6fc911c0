"""A residual MLP: for data of any shape."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from diffkit.core.condition import Condition, ConditionSpec
from diffkit.core.denoiser import DenoiserNetwork
from diffkit.core.types import Count, Natural, Shape
from diffkit.standard.denoisers.layers import Embedding, zero


class Mlp(DenoiserNetwork):
    r"""A residual MLP over all values of a sample, flattened, with adaptive layer norm.

    Each block sees its input normalised, then scaled and shifted by functions of log-SNR and condition, and its output
    is weighed by another. A sequence conditions through the mean of its tokens, a spatial condition as more inputs.

    With `frequencies` the network sees $\sin 2^k x, \cos 2^k x$ of each value x of the sample too, for
    $0 \le k < \mathrm{frequencies}$: fine structure in few values, such as edges in the plane, is learned sooner.
    Reference: Tancik et al., Fourier features let networks learn high frequency functions in low dimensional domains,
    2020.
    """

    def __init__(
        self,
        shape: Shape,
        condition: ConditionSpec,
        width: Count = 512,
        depth: Count = 1,
        embedding: Count = 128,
        frequencies: Natural = 0,
    ) -> None:
        super().__init__()
        values = math.prod(shape)
        beside = (condition.spatial or 0) * math.prod(shape[1:]) + 2 * frequencies * values
        self.frequencies = frequencies
        self.embedding = Embedding(embedding, condition)
        self.first = nn.Linear(values + beside, width)
        self.blocks = nn.ModuleList(_Block(width, embedding) for _ in range(depth))
        self.last = zero(nn.Linear(width, values))

    def forward(
        self, x: Float[Tensor, " b *d"], logsnr: Float[Tensor, " b"], condition: Condition
    ) -> Float[Tensor, " b *d"]:
        """The output F."""
        e = self.embedding(logsnr, condition)
        h = x.flatten(1)
        if self.frequencies:
            h = torch.cat([h, waves(h, self.frequencies)], 1)
        if condition.spatial is not None:
            h = torch.cat([h, condition.spatial.flatten(1)], 1)
        h = self.first(h)
        for block in self.blocks:
            h = block(h, e)
        output: Tensor = self.last(layer_norm(h, h.shape[1:]))
        return output.view_as(x)


def waves(x: Float[Tensor, "b v"], frequencies: int) -> Float[Tensor, "b w"]:
    """Sine and cosine of each value at the frequencies 1, 2, 4, ...: 2 `frequencies` numbers for each."""
    angle = (x[..., None] * torch.arange(frequencies, dtype=x.dtype, device=x.device).exp2()).flatten(1)
    return torch.cat([angle.sin(), angle.cos()], 1)


class _Block(nn.Module):
    def __init__(self, width: int, embedding: int) -> None:
        super().__init__()
        self.modulation = zero(nn.Linear(embedding, 3 * width))
        self.layers = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, h: Tensor, e: Tensor) -> Tensor:
        scale, shift, weight = self.modulation(e).chunk(3, 1)
        output: Tensor = h + (1 + weight) * self.layers(layer_norm(h, h.shape[1:]) * (1 + scale) + shift)
        return output
