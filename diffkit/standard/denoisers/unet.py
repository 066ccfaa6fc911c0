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
from diffkit.standard.denoisers.layers import Attention, Embedding, zero

CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


class UNet(DenoiserNetwork):
    """Residual blocks on falling, then rising resolution, joined by skips; attention at the lowest.

    Log-SNR and condition scale and shift the features of each block after a group norm (FiLM). A sequence conditions
    through cross-attention at the lowest resolution and through the mean of its tokens, a spatial condition as more
    channels. Any size works that is at least `2 ** (len(multipliers) - 1)`; else raises `DiffkitError`.
    References: Ronneberger et al., 2015; Ho et al., Denoising diffusion probabilistic models, 2020.
    """

    def __init__(
        self,
        shape: Shape,
        condition: ConditionSpec,
        width: Count = 32,
        multipliers: Sequence[int] = (1, 2),
        blocks: Count = 1,
        heads: Count = 4,
        embedding: Count = 128,
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
        self.first = conv(channels + (condition.spatial or 0), widths[0], 3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        last = widths[0]
        skips = [last]
        for level, w in enumerate(widths):
            if level:
                self.down.append(_Down(conv, last))
                skips.append(last)
            for _ in range(blocks):
                self.down.append(_Block(conv, last, w, embedding))
                last = w
                skips.append(last)
        self.middle = _Middle(conv, last, embedding, heads, condition.sequence)
        for w in reversed(widths):
            for _ in range(blocks + 1):
                self.up.append(_Block(conv, last + skips.pop(), w, embedding))
                last = w
        self.norm = nn.GroupNorm(_groups(last), last)
        self.last = zero(conv(last, channels, 3, padding=1))

    def forward(
        self, x: Float[Tensor, " b *d"], logsnr: Float[Tensor, " b"], condition: Condition
    ) -> Float[Tensor, " b *d"]:
        """The output F."""
        e = self.embedding(logsnr, condition)
        h = self.first(x if condition.spatial is None else torch.cat([x, condition.spatial], 1))
        skips = [h]
        for layer in self.down:
            h = layer(h, e)
            skips.append(h)
        h = self.middle(h, e, condition)
        for layer in self.up:
            skip = skips.pop()
            if h.shape[2:] != skip.shape[2:]:
                h = interpolate(h, size=skip.shape[2:])
            h = layer(torch.cat([h, skip], 1), e)
        output: Tensor = self.last(silu(self.norm(h)))
        return output


class _Down(nn.Module):
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
        self.norm = nn.GroupNorm(_groups(width_in), width_in)
        self.conv_1 = conv(width_in, width, 3, padding=1)
        self.modulation = nn.Linear(embedding, 2 * width)
        self.conv_2 = zero(conv(width, width, 3, padding=1))
        self.skip = conv(width_in, width, 1) if width_in != width else nn.Identity()

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        h = self.conv_1(silu(self.norm(x)))
        scale, shift = (a.reshape(*a.shape, *[1] * (h.ndim - 2)) for a in self.modulation(e).chunk(2, 1))
        h = self.conv_2(silu(group_norm(h, _groups(h.shape[1])) * (1 + scale) + shift))
        output: Tensor = self.skip(x) + h
        return output


class _Middle(nn.Module):
    """A block, attention of all places to each other and to the sequence, and another block."""

    def __init__(self, conv: type[nn.Module], width: int, embedding: int, heads: int, context: int | None) -> None:
        super().__init__()
        self.before, self.after = _Block(conv, width, width, embedding), _Block(conv, width, width, embedding)
        self.norm = nn.GroupNorm(_groups(width), width)
        self.attention = Attention(width, heads)
        self.cross = None if context is None else Attention(width, heads, context)

    def forward(self, x: Tensor, e: Tensor, condition: Condition) -> Tensor:
        x = self.before(x, e)
        tokens = self.norm(x).flatten(2).transpose(1, 2)
        answer = self.attention(tokens)
        if self.cross is not None:
            answer = answer + self.cross(tokens, condition.sequence, condition.mask)
        x = self.after(x + answer.transpose(1, 2).reshape(x.shape), e)
        return x


def _groups(width: int) -> int:
    """Groups of 8 channels where that divides the width; else one group."""
    return width // 8 if width % 8 == 0 else 1
