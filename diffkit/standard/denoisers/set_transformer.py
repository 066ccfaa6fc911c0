"""A transformer over the points of a set."""

import math
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from diffkit.core.condition import Condition, ConditionSpec
from diffkit.core.denoiser import DenoiserNetwork
from diffkit.core.errors import DiffkitError
from diffkit.core.types import Count, Natural, Shape
from diffkit.standard.denoisers.layers import Embedding, TransformerBlock, zero


class SetTransformer(DenoiserNetwork):
    r"""A transformer over points, modulated by log-SNR and condition (adaLN-zero): for samples (coordinates, points).

    It is equivariant to permutations, $F(x P) = F(x) P$, and works on any number of points, whatever `shape` says.
    Nothing attends to points that are not `condition.present`, and their output is 0. A point is told by its
    coordinates and their `waves` sines and cosines each, with wavelengths of 8, 4, 2, ... of the model's units, and by
    a spatial condition; a sequence conditions through cross-attention and through the mean of its tokens. With
    `induced`, points attend to each other by way of so many learned ones: linear in their number, not quadratic.

    With `centred` the mean over present points is taken out of the input and of the output. Then translations change
    nothing, and the mean of a sample is noise that the rest does not see: to take it out at the end is the same as to
    train and sample with centred noise.
    References: Lee et al., Set transformer, 2019; Peebles and Xie 2023 (adaLN-zero); Hoogeboom et al., Equivariant
    diffusion for molecule generation in 3D, 2022, and Xu et al., GeoDiff, 2022 (centred noise).
    """

    equivariant: ClassVar[bool] = True

    def __init__(
        self,
        shape: Shape,
        condition: ConditionSpec,
        width: Count = 128,
        depth: Count = 6,
        heads: Count = 4,
        waves: Natural = 5,
        induced: Count | None = None,
        centred: bool = False,
    ) -> None:
        super().__init__()
        if len(shape) != 2:
            raise DiffkitError(
                f"the denoiser 'set_transformer' works on sets of points, (coordinates, points), not on {shape}: "
                "choose denoiser=mlp"
            )
        self.centred = centred
        self.frequencies: Tensor
        self.register_buffer("frequencies", math.pi / 4 * 2.0 ** torch.arange(waves), persistent=False)
        self.embedding = Embedding(width, condition)
        self.first = nn.Linear(shape[0] * (1 + 2 * waves) + (condition.spatial or 0), width)
        self.blocks = nn.ModuleList(
            TransformerBlock(width, heads, width, condition.sequence, induced) for _ in range(depth)
        )
        self.modulation = zero(nn.Linear(width, 2 * width))
        self.last = zero(nn.Linear(width, shape[0]))

    def forward(
        self, x: Float[Tensor, "b c n"], logsnr: Float[Tensor, " b"], condition: Condition
    ) -> Float[Tensor, "b c n"]:
        """The output F."""
        there = condition.present
        x = self._placed(x, there)
        e = self.embedding(logsnr, condition)
        angle = (x[:, :, None] * self.frequencies[:, None]).flatten(1, 2)
        told = [x, angle.sin(), angle.cos()] + ([] if condition.spatial is None else [condition.spatial])
        h = self.first(torch.cat(told, 1).transpose(1, 2))
        for block in self.blocks:
            h = block(h, e, condition, there)
        scale, shift = self.modulation(e)[:, None].chunk(2, -1)
        h = self.last(layer_norm(h, h.shape[-1:]) * (1 + scale) + shift)
        return self._placed(h.transpose(1, 2), there)

    def _placed(self, x: Tensor, there: Bool[Tensor, "b n"] | None) -> Tensor:
        """Points that are not there at the origin, and with `centred` the mean of the others too."""
        if there is None:
            return x - x.mean(-1, keepdim=True) if self.centred else x
        share = there[:, None].to(x.dtype)
        x = x.masked_fill(~there[:, None], 0)
        return share * (x - x.sum(-1, keepdim=True) / share.sum(-1, keepdim=True).clamp(min=1)) if self.centred else x
