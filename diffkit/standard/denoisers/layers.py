"""What the networks share: the embedding of log-SNR and condition, attention, and the residual MLP of a transformer."""

import math
from typing import TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import layer_norm, scaled_dot_product_attention, silu

from diffkit.core.condition import Condition, ConditionSpec
from diffkit.core.errors import DiffkitError

Layer = TypeVar("Layer", bound=nn.Module)
CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
"""The convolution over so many axes."""


class LogSnrFeatures(nn.Module):
    """Sines and cosines of the log-SNR, with wavelengths from about 3 (fine steps) to 126 (its whole range)."""

    def __init__(self, count: int = 32) -> None:
        super().__init__()
        self.frequencies: Tensor
        self.register_buffer("frequencies", torch.logspace(math.log10(0.05), math.log10(2), count))

    def forward(self, logsnr: Float[Tensor, " b"]) -> Float[Tensor, "b f"]:
        """The features of each row, in the dtype of the network."""
        angle = logsnr[:, None].to(self.frequencies) * self.frequencies
        return torch.cat([angle.sin(), angle.cos()], 1)


class Embedding(nn.Module):
    """One vector for each row: what the network is told beside x_t, except for what has a place in space.

    The log-SNR, the vector of the condition, and the mean of the tokens of its sequence, each through a layer of its
    own, are added up.
    """

    def __init__(self, width: int, condition: ConditionSpec) -> None:
        super().__init__()
        features = LogSnrFeatures()
        self.time = nn.Sequential(
            features, nn.Linear(2 * len(features.frequencies), width), nn.SiLU(), nn.Linear(width, width)
        )
        self.vector = None if condition.vector is None else nn.Linear(condition.vector, width)
        self.sequence = None if condition.sequence is None else nn.Linear(condition.sequence, width)

    def forward(self, logsnr: Float[Tensor, " b"], condition: Condition) -> Float[Tensor, "b w"]:
        """The embedding, already through its last nonlinearity."""
        e = self.time(logsnr)
        if self.vector is not None and condition.vector is not None:
            e = e + self.vector(condition.vector)
        if self.sequence is not None and condition.sequence is not None and condition.mask is not None:
            e = e + self.sequence(masked_mean(condition.sequence, condition.mask))
        return silu(e)


def masked_mean(sequence: Float[Tensor, "b l e"], mask: Bool[Tensor, "b l"]) -> Float[Tensor, "b e"]:
    """The mean of each row's tokens; 0 where a row has none."""
    weight = mask.to(sequence.dtype)[..., None]
    return (weight * sequence).sum(1) / weight.sum(1).clamp(min=1)


class Attention(nn.Module):
    r"""Multi-head attention of tokens to themselves, or to a context of another width.

    $$ \mathrm{softmax}(Q K^\top / \sqrt{d}) V $$

    The last layer starts at zero, so that a residual branch made of it starts as nothing.
    """

    def __init__(self, width: int, heads: int, context: int | None = None) -> None:
        super().__init__()
        if width % heads:
            raise DiffkitError(
                f"attention of width {width} cannot have {heads} heads: choose a number that divides the width"
            )
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width if context is None else context, 2 * width)
        self.out = zero(nn.Linear(width, width))

    def forward(
        self,
        x: Float[Tensor, "b n w"],
        context: Float[Tensor, "b l e"] | None = None,
        mask: Bool[Tensor, "b l"] | None = None,
    ) -> Float[Tensor, "b n w"]:
        """The answer for each token of `x`; `mask` is True where the context, or else `x`, holds a token."""
        q = self.query(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        pairs = self.key_value(x if context is None else context).unflatten(-1, (2, self.heads, -1))
        k, v = pairs.permute(2, 0, 3, 1, 4)
        where = None if mask is None else mask[:, None, None, :]
        answer: Tensor = self.out(scaled_dot_product_attention(q, k, v, where).transpose(1, 2).flatten(-2))
        return answer


class InducedAttention(nn.Module):
    """Attention of tokens to each other by way of a few learned ones: linear in the number of tokens.

    The learned ones read the tokens, and the tokens read them. It starts as nothing.
    Reference: Lee et al., Set transformer, 2019.
    """

    def __init__(self, width: int, heads: int, induced: int) -> None:
        super().__init__()
        self.points = nn.Parameter(torch.randn(induced, width))
        self.read = Attention(width, heads, width)
        self.write = Attention(width, heads, width)
        nn.init.xavier_uniform_(self.read.out.weight)  # nothing comes of two layers in a row that are zero

    def forward(self, x: Float[Tensor, "b n w"], mask: Bool[Tensor, "b n"] | None = None) -> Float[Tensor, "b n w"]:
        """The answer for each token of `x`; `mask` is True where it holds a token."""
        points = self.points.expand(len(x), -1, -1)
        points = points + self.read(points, x, mask)
        answer: Tensor = self.write(x, layer_norm(points, points.shape[-1:]))
        return answer


def feed_forward(width: int, factor: int = 4) -> nn.Sequential:
    """The two-layer network of a transformer's block; its last layer starts at zero."""
    return nn.Sequential(nn.Linear(width, factor * width), nn.GELU("tanh"), zero(nn.Linear(factor * width, width)))


class TransformerBlock(nn.Module):
    """Attention of tokens to each other, and to the sequence of the condition, and a feed-forward network.

    Their inputs are normalised, then scaled and shifted by functions of the embedding. It starts as the identity.
    With `induced`, tokens attend to each other by way of so many learned ones.
    """

    def __init__(self, width: int, heads: int, embedding: int, context: int | None, induced: int | None = None) -> None:
        super().__init__()
        self.modulation = zero(nn.Linear(embedding, 4 * width))
        self.attention = Attention(width, heads) if induced is None else InducedAttention(width, heads, induced)
        self.cross = None if context is None else Attention(width, heads, context)
        self.feed_forward = feed_forward(width)

    def forward(
        self,
        h: Float[Tensor, "b n w"],
        e: Float[Tensor, "b e"],
        condition: Condition,
        there: Bool[Tensor, "b n"] | None = None,
    ) -> Float[Tensor, "b n w"]:
        """The tokens after the block; `e` is the embedding. Nothing attends to tokens that are not `there`."""
        scale_1, shift_1, scale_2, shift_2 = self.modulation(e)[:, None].chunk(4, -1)
        width = h.shape[-1:]
        h = h + self.attention(layer_norm(h, width) * (1 + scale_1) + shift_1, mask=there)
        if self.cross is not None:
            h = h + self.cross(layer_norm(h, width), condition.sequence, condition.mask)
        output: Tensor = h + self.feed_forward(layer_norm(h, width) * (1 + scale_2) + shift_2)
        return output


def zero(layer: Layer) -> Layer:
    """The layer with its weights set to zero."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def groups(width: int) -> int:
    """The groups of a norm: of 8 channels where that divides the width; else one group."""
    return width // 8 if width % 8 == 0 else 1
