"""A U-Net of residual blocks over one to three axes of space."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import group_norm, interpolate, silu

from diffkit.core.condition import Condition, ConditionSpec
from diffkit.core.denoiser import DenoiserNetwork
from diffkit.core.errors import DiffkitError
from diffkit.core.types import Count, Shape
from diffkit.standard.denoisers.layers import CONV, Embedding, TransformerBlock, groups, zero


class UNet(DenoiserNetwork):
    """Residual blocks on falling, then rising resolution, joined by skips, with a transformer at the lowest.

    A level has `width` times its multiplier channels and `blocks` blocks on either way; the transformer has `middle`
    blocks. Log-SNR and condition scale and shift the features of each block after a norm. A sequence conditions
    through cross-attention in the transformer and through the mean of its tokens, a spatial condition as more channels.
    Raises `DiffkitError` for sizes below `2 ** (len(multipliers) - 1)`; any other works.
    References: Ronneberger et al. 2015, U-Net; Hoogeboom et al. 2023, Simple Diffusion.
    """

    def __init__(
        self,
        shape: Shape,
        condition: ConditionSpec,
        width: Count = 32,
        multipliers: Sequence[Count] = (1, 2),
        blocks: Count = 1,
        middle: Count = 1,
        heads: Count = 4,
        embedding: Count = 256,
    ) -> None:
        super().__init__()
        channels, *size = shape
        if not 1 <= len(size) <= 3 or min(size) < 2 ** (len(multipliers) - 1):
            raise DiffkitError(
                f"the denoiser 'unet' with {len(multipliers)} multipliers works on (channels, *size) with one to three "
                f"axes of at least {2 ** (len(multipliers) - 1)}, not on {shape}: choose fewer multipliers, or "
                "denoiser=mlp"
            )
        conv = CONV[len(size)]
        widths = [width * m for m in multipliers]
        self.embedding = Embedding(embedding, condition)
        self.first = conv(channels + (condition.spatial or 0), width, 3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        last = width
        skips = []
        for level, w in enumerate(widths):
            if level:
                self.down.append(_Half(conv, last))
            for _ in range(blocks):
                self.down.append(_Block(conv, last, w, embedding))
                last = w
                skips.append(w)
        self.middle = nn.ModuleList(TransformerBlock(last, heads, embedding, condition.sequence) for _ in range(middle))
        for w in reversed(widths):
            for _ in range(blocks):
                self.up.append(_Block(conv, last + skips.pop(), w, embedding))
                last = w
        self.norm = nn.GroupNorm(groups(last), last)
        self.last = zero(conv(last, channels, 3, padding=1))

    def forward(
        self, x: Float[Tensor, " b *d"], logsnr: Float[Tensor, " b"], condition: Condition
    ) -> Float[Tensor, " b *d"]:
        """The output F."""
        e = self.embedding(logsnr, condition)
        h = self.first(x if condition.spatial is None else torch.cat([x, condition.spatial], 1))
        skips = []
        for layer in self.down:
            h = layer(h, e)
            if isinstance(layer, _Block):
                skips.append(h)
        tokens = h.flatten(2).transpose(1, 2)
        for layer in self.middle:
            tokens = layer(tokens, e, condition)
        h = tokens.transpose(1, 2).reshape(h.shape)
        for layer in self.up:
            skip = skips.pop()
            if h.shape[2:] != skip.shape[2:]:
                h = interpolate(h, size=skip.shape[2:])
            h = layer(torch.cat([h, skip], 1), e)
        output: Tensor = self.last(silu(self.norm(h)))
        return output


class _Half(nn.Module):
    """Half the resolution (rounded up)."""

    def __init__(self, conv: type[nn.Module], width: int) -> None:
        super().__init__()
        self.conv = conv(width, width, 3, stride=2, padding=1)

    def forward(self, h: Tensor, e: Tensor) -> Tensor:
        half: Tensor = self.conv(h)
        return half


class _Block(nn.Module):
    def __init__(self, conv: type[nn.Module], width_in: int, width: int, embedding: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups(width_in), width_in)
        self.conv_1 = conv(width_in, width, 3, padding=1)
        self.modulation = nn.Linear(embedding, 2 * width)
        self.conv_2 = zero(conv(width, width, 3, padding=1))
        self.skip = conv(width_in, width, 1) if width_in != width else nn.Identity()

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        h = self.conv_1(silu(self.norm(x)))
        scale, shift = (a.reshape(*a.shape, *[1] * (h.ndim - 2)) for a in self.modulation(e).chunk(2, 1))
        h = self.conv_2(silu(group_norm(h, groups(h.shape[1])) * (1 + scale) + shift))
        output: Tensor = self.skip(x) + h
        return output
