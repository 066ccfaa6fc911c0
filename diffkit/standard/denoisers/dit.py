"""A diffusion transformer over patches of a picture, a signal or a volume."""

import math
from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from diffkit.core.condition import Condition, ConditionSpec
from diffkit.core.denoiser import DenoiserNetwork
from diffkit.core.errors import DiffkitError
from diffkit.core.types import Count, Shape
from diffkit.standard.denoisers.layers import Embedding, TransformerBlock, zero


class DiT(DenoiserNetwork):
    """A transformer over patches, modulated by log-SNR and condition (adaLN-zero), with one to three axes of space.

    A sequence conditions through cross-attention and through the mean of its tokens, a spatial condition as more
    channels. Raises `DiffkitError` where `patch` does not divide every axis.
    Reference: Peebles and Xie, Scalable diffusion models with transformers, 2023.
    """

    def __init__(
        self,
        shape: Shape,
        condition: ConditionSpec,
        patch: Count = 2,
        width: Count = 128,
        depth: Count = 4,
        heads: Count = 4,
    ) -> None:
        super().__init__()
        channels, *size = shape
        if not 1 <= len(size) <= 3 or any(n % patch for n in size):
            raise DiffkitError(
                f"the denoiser 'dit' with patch={patch} works on (channels, *size) with one to three axes, each a "
                f"multiple of the patch, not on {shape}: choose another patch, or denoiser=mlp"
            )
        self.patch, self.counts = patch, [n // patch for n in size]
        volume = patch ** len(size)
        self.embedding = Embedding(width, condition)
        self.first = nn.Linear((channels + (condition.spatial or 0)) * volume, width)
        self.position = nn.Parameter(_waves(self.counts, width))
        self.blocks = nn.ModuleList(TransformerBlock(width, heads, width, condition.sequence) for _ in range(depth))
        self.modulation = zero(nn.Linear(width, 2 * width))
        self.last = zero(nn.Linear(width, channels * volume))

    def forward(
        self, x: Float[Tensor, " b *d"], logsnr: Float[Tensor, " b"], condition: Condition
    ) -> Float[Tensor, " b *d"]:
        """The output F."""
        e = self.embedding(logsnr, condition)
        h = x if condition.spatial is None else torch.cat([x, condition.spatial], 1)
        h = self.first(self._tokens(h)) + self.position
        for block in self.blocks:
            h = block(h, e, condition)
        scale, shift = self.modulation(e)[:, None].chunk(2, -1)
        return self._picture(self.last(layer_norm(h, h.shape[-1:]) * (1 + scale) + shift))

    def _tokens(self, x: Tensor) -> Tensor:
        """(b, c, *size) to (b, tokens, c * patch volume)."""
        axes = len(self.counts)
        split = [n for count in self.counts for n in (count, self.patch)]
        x = x.reshape(*x.shape[:2], *split)
        x = x.permute(0, *range(2, 2 + 2 * axes, 2), 1, *range(3, 3 + 2 * axes, 2))
        return x.reshape(len(x), math.prod(self.counts), -1)

    def _picture(self, tokens: Tensor) -> Tensor:
        """The inverse of `_tokens`."""
        axes = len(self.counts)
        x = tokens.reshape(len(tokens), *self.counts, -1, *[self.patch] * axes)
        order = [axis for pair in zip(range(1, 1 + axes), range(2 + axes, 2 + 2 * axes), strict=True) for axis in pair]
        return x.permute(0, 1 + axes, *order).reshape(len(x), -1, *[n * self.patch for n in self.counts])


def _waves(counts: list[int], width: int) -> Tensor:
    """Positions to start from: cosines over the grid with the lowest frequencies first (those of a DCT)."""
    fastest = max(counts)
    frequencies = sorted(product(*[range(min(n, fastest)) for n in counts]), key=lambda f: sum(k * k for k in f))
    waves = torch.ones(*counts, min(width, len(frequencies)))
    for i, frequency in enumerate(frequencies[:width]):
        for axis, (n, k) in enumerate(zip(counts, frequency, strict=True)):
            wave = torch.cos(math.pi * k * (torch.arange(n) + 0.5) / n)
            waves[..., i] *= wave.reshape([-1 if a == axis else 1 for a in range(len(counts))])
    return torch.cat([waves, torch.zeros(*counts, width - waves.shape[-1])], -1).flatten(0, -2)
